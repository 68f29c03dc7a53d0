#!/usr/bin/env python3
"""Reproduces the golden values of Calybris with the independent verifier, and tries the hostile ones on it.

    check_vectors.py FOLDER...

The folders are crates/proof/tests/data and crates/budget/tests/data; every file known here that is in one is checked.
"""

import hashlib
import pathlib
import struct
import sys

from calybris_verifier import *  # noqa: F403: this file is the other half of that one

CHECKS = {}
checked = 0


def expect(found, expected, what):
    global checked
    checked += 1
    if found != expected:
        raise AssertionError(f"{what}: {found} is not {expected}")


def refused(check, *arguments):
    """Whether the verifier refuses, in any of the ways in which its commands do."""
    try:
        check(*arguments)
    except (Refused, ValueError, KeyError, TypeError, AttributeError):
        return True
    return False


def check(name):
    def register(function):
        CHECKS[name] = function
        return function
    return register


class Case:
    """The decision that most of the files are about."""

    def __init__(self, folder):
        case = load_file(folder / "case.json")
        self.policy, self.request = read_policy(case["policy"]), case["input"]
        self.expected = case["expect"]
        self.decision = decide(self.policy, self.request)
        self.digests = [policy_digest(self.policy), input_digest(self.request),
                        decision_digest(self.decision)]
        self.identity = identity_digest(self.digests[0], self.request, self.decision)


@check("case.json")
def _(folder, _value):
    case = Case(folder)
    expect(case.decision, case.expected["decision"], "decision")
    for name, found in zip(["policy_digest", "input_digest", "decision_digest"], case.digests):
        expect(found.hex(), case.expected[name], name)


@check("log.json")
def _(_folder, log):
    for key, lines in [(None, log["lines"]), (bytes.fromhex(log["key_hex"]), log["keyed_lines"])]:
        previous = "genesis"
        for line in lines:
            entry = split_line(line)
            expect(entry["previous_hash"], previous, "previous_hash")
            previous = link_hash(previous, entry["data"].encode(), key)
            expect(entry["entry_hash"], previous, "entry_hash")


@check("audited_log.json")
def _(_folder, audited):
    policy = read_policy(audited["policy"])
    for line in audited["lines"]:
        payload = split_line(line)["data"]
        expect(check_record(payload, {policy_digest(policy): policy}), "replayed", "record")


@check("state.json")
def _(_folder, states):
    for state in states:
        found = state_digest(state["step"], bytes.fromhex(state["state_hex"]))
        expect(found.hex(), state["digest"], "state digest")


def signature_block(folder):
    signature = load_file(folder / "signed_policy.json")
    block = {name: signature[name] for name in
             ["signer_id", "signed_at_epoch_ms", "public_key_hex", "signature_hex"]}
    key = {"signer_id": block["signer_id"], "public_key_hex": block["public_key_hex"]}
    trusted = {"schema_version": "calybris.trusted-keys.v1", "keys": [key]}
    return block, read_trusted_keys(trusted)


@check("signed_policy.json")
def _(folder, _value):
    (block, trusted), signed_digest = signature_block(folder), Case(folder).digests[0]
    policy = dict(block, policy_digest_hex=signed_digest.hex())
    expect(refused(check_signed_policy, policy, signed_digest, trusted), False, "signed policy")


@check("receipt.json")
def _(folder, receipt):
    case, (block, trusted) = Case(folder), signature_block(folder)
    for variant in receipt["variants"]:
        made = {"schema_version": "calybris.receipt.v1", "replay_valid": True,
                "policy_epoch": case.policy["policy_epoch"],
                "catalog_epoch": case.policy["catalog_epoch"],
                "claims_digest_hex": variant["claims_digest"],
                "signature": dict(block, signature_hex=variant["signature"])}
        made.update(zip(DIGESTS, [found.hex() for found in case.digests]))
        if variant["state"]:
            made["state"] = {"step": receipt["step"],
                             "state_digest_before_hex": receipt["state_before"],
                             "state_digest_after_hex": receipt["state_after"]}
        if variant["wal"]:
            made["wal"] = {"sequence": receipt["wal_sequence"],
                           "entry_hash": receipt["wal_entry_hash"]}
        expect(refused(check_receipt, made, trusted), False, "receipt")


@check("outcome.json")
def _(folder, outcome):
    case = Case(folder)
    expect(case.identity.hex(), outcome["identity_digest"], "identity")
    for numbers in outcome["cases"]:
        selection, found = numbers.pop("selection_digest"), numbers.pop("outcome_digest")
        seen = {name: value for name, value in numbers.items() if value is not None}
        seen["strategy"] = STRATEGIES[seen["strategy"]]
        seen["disposition"] = DISPOSITIONS[seen["disposition"]]
        expect(refused(check_observation, seen, False), False, "observation")
        digests = [made.hex() for made in outcome_digests(case.identity, seen)]
        expect(digests, [selection, found], "outcome")


@check("merkle.json")
def _(_folder, merkle):
    tree, leaves = Tree(), [bytes.fromhex(leaf) for leaf in merkle["leaves"]]
    roots = [tree.root()]
    for leaf, root in zip(leaves, merkle["roots"]):
        tree.append(leaf)
        roots.append(tree.root())
        expect(roots[-1].hex(), root, "root")
    for proof in merkle["inclusion"]:
        index, size = proof["from"], proof["size"]
        made = {"leaf_index": index, "tree_size": size, "hashes": proof["hashes"]}
        expect(refused(check_inclusion, made, leaves[index], size, roots[size]), False, "inclusion")
        expect(refused(check_inclusion, made, b"other", size, roots[size]), True, "inclusion")
    for proof in merkle["consistency"]:
        old, new = proof["from"], proof["size"]
        made = {"old_size": old, "new_size": new, "hashes": proof["hashes"]}
        trees = (old, roots[old]), (new, roots[new])
        expect(refused(check_consistency, made, *trees), False, "consistency")
        expect(refused(check_consistency, made, (old, roots[0]), trees[1]), True, "a fork")


@check("hostile.json")
def _(folder, hostile):
    case = Case(folder)
    good = {artifact["name"]: artifact["good"] for artifact in hostile["artifacts"]}

    def receipt(text, trusted):
        read = load(text)
        check_receipt(read, read_trusted_keys(load(trusted)))
        # The replay: the receipt's decision is the one at hand, and follows from the policy at hand.
        named = [digest(read[name]) for name in DIGESTS[:3]]
        epochs = case.policy["policy_epoch"], case.policy["catalog_epoch"]
        if named != case.digests or (read["policy_epoch"], read["catalog_epoch"]) != epochs \
                or not read["replay_valid"]:
            raise tampered("the receipt is about another decision")

    def checkpoint(text, log_key):
        read_checkpoint(text, log_key, hostile["witnesses"], hostile["quorum"])

    def signed_policy(text):
        check_signed_policy(load(text), case.digests[0], read_trusted_keys(load(good["trusted_keys"])))

    readers = {
        "receipt": lambda text: receipt(text, good["trusted_keys"]),
        "trusted_keys": lambda text: receipt(good["receipt"], text),
        "signed_policy": signed_policy,
        "outcome": lambda text: check_outcome(load(text), case.identity, False),
        "anchor": lambda text: read_anchor(load(text)),
        "checkpoint": lambda text: checkpoint(text, good["log_key"]),
        "log_key": lambda text: checkpoint(good["checkpoint"], text),
    }
    for artifact in hostile["artifacts"]:
        name, text = artifact["name"], artifact["good"]
        expect(refused(readers[name], text), False, name)
        for change in artifact["still"]:
            changed = text.replace(change["from"], change["to"], 1)
            expect(refused(readers[name], changed), False, f"{name}, refused: {change['why']}")
        for change in artifact["refused"]:
            changed = text.replace(change["from"], change["to"], 1)
            expect(refused(readers[name], changed), True, f"{name}, refused: {change['why']}")


# --- the ledger: docs/format/ledger-v1.md, ledger-v2.md -------------------------------------------

def u64(value):
    return struct.pack("<Q", value)


def i64(value):
    return struct.pack("<q", value)


def string(text):
    return struct.pack("<I", len(text.encode())) + text.encode()


def listed(items, encode):
    return u64(len(items)) + b"".join(map(encode, items))


def maybe(encode, value):
    return b"\0" if value is None else b"\1" + encode(value)


@check("ledger_v1.json")
def _(_folder, cases):
    balances = ["initial_microcents", "remaining_microcents", "reserved_microcents",
                "committed_microcents"]
    for case in cases:
        snapshot = case["snapshot"]
        tenants = sorted(snapshot["tenants"], key=lambda tenant: tenant["tenant_id"].encode())
        layout = b"calyldg1\0" + u64(snapshot["version"]) + u64(len(tenants))
        layout += u64(snapshot["active_reservations"])
        for tenant in tenants:
            layout += string(tenant["tenant_id"]) + b"".join(i64(tenant[name]) for name in balances)
        if snapshot.get("wal_high_watermark") is not None:
            layout += b"calybris.ledger.wal-watermark.v1\0" + u64(snapshot["wal_high_watermark"])
        expect(hashlib.sha256(layout).hexdigest(), case["ledger_digest"], "ledger digest")


def variant(value):
    """The name and the members of an enum's value."""
    return (value, {}) if isinstance(value, str) else next(iter(value.items()))


ACTIONS_V2 = {  # code, then the members in the digest's order
    "reserve": (1, ["amount_microcents", "deadline?"]),
    "reserve_up_to": (2, ["amount_microcents", "at_least_microcents", "deadline?"]),
    "top_up": (3, ["amount_microcents"]), "set_max_reserved": (4, ["cap_microcents"]),
    "set_overrun_policy": (5, ["policy"]), "set_window": (6, ["window", "limit_microcents?"]),
    "freeze": (7, []), "thaw": (8, []), "close": (9, []), "commit": (32, ["actual_microcents"]),
    "commit_held": (33, []), "commit_part": (34, ["amount_microcents"]), "release": (35, []),
    "grow": (36, ["amount_microcents"]), "extend": (37, ["deadline?"])}
REASONS_V2 = {
    "missing_tenant": [], "other_parent": [], "too_deep": ["limit:u"], "too_many_tenants": ["limit:u"],
    "missing_hold": ["hold:u"], "invalid_amount": ["asked", "minimum", "maximum"],
    "past_deadline": ["deadline:u", "now:u"], "insufficient": ["remaining", "asked"],
    "exposure_limit": ["reserved", "limit", "asked"],
    "window_limit": ["used", "limit", "asked", "window"], "overrun": ["held", "remaining", "asked"],
    "overdraft_limit": ["overdraft", "limit", "asked"], "overflow": ["current", "asked"],
    "frozen": [], "closed": [], "open_holds": ["reserved"], "key_conflict": [],
    "invalid_key": ["length:u", "limit:u"], "too_many_keys": ["limit:u"],
    "too_many_windows": ["limit:u"], "empty_window": [], "no_hold_ids": ["limit:u"]}


def overrun_policy(value):
    name, held = variant(value)
    cap = i64(held["cap_microcents"]) if held else b""
    return bytes([["refuse", "overdraft", "freeze"].index(name)]) + cap


def window(value):
    name, held = variant(value)
    return bytes([["fixed", "rolling"].index(name)]) + u64(held["length"])


def member(name, held):
    plain = name.rstrip("?").removesuffix(":u")
    if plain in ("policy", "window"):
        return {"policy": overrun_policy, "window": window}[plain](held[plain])
    encode = u64 if plain == "deadline" or name.endswith(":u") else i64
    return maybe(encode, held[plain]) if name.endswith("?") else encode(held[plain])


def action(value):
    name, held = variant(value)
    code, names = ACTIONS_V2[name]
    return bytes([code]) + b"".join(member(name, held) for name in names)


def request_v2(value):
    name, held = variant(value)
    if name == "open":
        return b"\0" + i64(held["initial_microcents"]) + maybe(string, held["parent_id"])
    return action(held) if name == "tenant" else action(held["action"]) + u64(held["hold"])


def answer_v2(value):
    name, held = variant(value)
    if name == "receipt":
        balances = ["initial", "remaining", "reserved", "committed", "overdraft"]
        return b"\0" + i64(held["amount_microcents"]) + maybe(u64, held["hold"]) \
            + b"".join(i64(held["balances"][f"{name}_microcents"]) for name in balances)
    name, why = variant(held["reason"])
    code = bytes([list(REASONS_V2).index(name)])
    return b"\1" + string(held["scope"]) + code + b"".join(member(name, why) for name in REASONS_V2[name])


def tenant_v2(tenant):
    amounts = ["initial", "remaining", "reserved", "committed", "overdraft", "children_spent",
               "max_reserved"]
    layout = string(tenant["tenant_id"]) + maybe(string, tenant["parent_id"]) + u64(tenant["number"])
    layout += bytes([["active", "frozen", "closed"].index(tenant["status"])])
    layout += b"".join(i64(tenant[f"{name}_microcents"]) for name in amounts)
    layout += overrun_policy(tenant["overrun_policy"])
    layout += u64(tenant["clock"]) + u64(tenant["next_hold"])
    layout += listed(tenant["windows"], lambda at: window(at["window"]) + i64(at["limit_microcents"])
                     + listed(at["charges"], lambda charge: u64(charge["slot"])
                              + i64(charge["amount_microcents"])))
    layout += listed(tenant["holds"], lambda hold: u64(hold["hold"]) + i64(hold["amount_microcents"])
                     + u64(hold["began"]) + maybe(u64, hold["deadline"]))
    return layout + listed(tenant["keys"], lambda key: string(key["key"]) + u64(key["at"])
                           + request_v2(key["request"]) + answer_v2(key["answer"]))


@check("ledger_v2.json")
def _(folder, state):
    limits = state["limits"]
    layout = b"calyldg2\0" + u64(limits["key_retention"]) + u64(limits["max_keys_per_tenant"])
    layout += u64(state["next_number"]) + u64(state["next_spare"])
    layout += listed(state["tenants"], tenant_v2)
    page = text_of(folder / "../../../../docs/format/ledger-v2.md")
    expect(hashlib.sha256(layout).hexdigest(), page.split()[-1], "ledger state")


def main(folders):
    for folder in map(pathlib.Path, folders):
        for name, function in CHECKS.items():
            if (folder / name).exists():
                function(folder, load_file(folder / name))
    print(f"{checked} values agree")


if __name__ == "__main__":
    main(sys.argv[1:])
