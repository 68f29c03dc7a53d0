#!/usr/bin/env python3
"""An independent verifier of Calybris evidence, in Python's standard library alone.

Written from docs/format/, not from the Rust sources, so that the two check each other: the
specification is sufficient as long as both agree on every vector and every log.

    calybris_verifier.py log LOG [--key-file HEX] [--policy POLICY.json]... [--anchor ANCHOR.json]
                             [--checkpoint NOTE --log-key VKEY]
    calybris_verifier.py bundle BUNDLE.json [--log-key VKEY] [--policy-digest HEX]
    calybris_verifier.py receipt RECEIPT.json --trusted-keys KEYS.json
    calybris_verifier.py vectors FOLDER

Exit codes are those of `calybris`: 0 verified, 1 tampered, 2 usage, 3 incomplete, 4 cannot tell.
"""

import argparse
import base64
import hashlib
import hmac
import json
import pathlib
import struct
import sys

VERIFIED, TAMPERED, USAGE, INCOMPLETE, CANNOT_TELL = range(5)
MAX_LINE_BYTES = 16 << 20
I64 = (-(1 << 63), (1 << 63) - 1)
U64_MAX = (1 << 64) - 1


class Refused(Exception):
    """A verdict other than verified, and why."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


def tampered(why):
    return Refused(TAMPERED, why)


# --- JSON, strictly ----------------------------------------------------------------------------

def no_repeats(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def no_constants(name):
    raise ValueError(f"{name} is not JSON")


def load(text):
    return json.loads(text, object_pairs_hook=no_repeats, parse_constant=no_constants)


def members(value, required, optional=()):
    if not isinstance(value, dict):
        raise tampered("an object is expected")
    missing, unknown = set(required) - set(value), set(value) - set(required) - set(optional)
    if missing or unknown:
        raise tampered(f"members missing {sorted(missing)}, unknown {sorted(unknown)}")
    return value


def digest(text, size=32):
    """The bytes of a lowercase hexadecimal text, and of no other spelling."""
    if not isinstance(text, str) or len(text) != 2 * size or set(text) - set("0123456789abcdef"):
        raise tampered(f"{text!r} is not {2 * size} lowercase hexadecimal characters")
    return bytes.fromhex(text)


# --- the log: docs/format/log-v1.md ---------------------------------------------------------------

def split_line(text):
    """The members of a line, the payload as the text that was written."""
    decoder = json.JSONDecoder(object_pairs_hook=no_repeats, parse_constant=no_constants)
    found, at = {}, skip(text, 0)
    if text[at:at + 1] != "{":
        raise ValueError("an object is expected")
    at = skip(text, at + 1)
    while text[at:at + 1] != "}":
        name, at = decoder.raw_decode(text, at)
        at = skip(text, at)
        if text[at:at + 1] != ":":
            raise ValueError("a colon is expected")
        start = skip(text, at + 1)
        value, at = decoder.raw_decode(text, start)
        if name in found or name not in ("sequence", "previous_hash", "entry_hash", "data"):
            raise ValueError(f"member {name!r} is repeated or unknown")
        found[name] = text[start:at] if name == "data" else value
        at = skip(text, at)
        if text[at:at + 1] == ",":
            at = skip(text, at + 1)
            if text[at:at + 1] == "}":
                raise ValueError("a member is expected")
        elif text[at:at + 1] != "}":
            raise ValueError("a comma is expected")
    if len(found) != 4 or text[at + 1:].strip(" \t\r\n"):
        raise ValueError("four members are expected, and nothing after them")
    return found


def skip(text, at):
    while text[at:at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def link_hash(previous, payload, key):
    message = previous.encode() + payload
    if key is None:
        return hashlib.sha256(message).hexdigest()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def read_log(path, key):
    """Gives (sequence, entry_hash, payload) of every entry whose link holds."""
    previous, sequence = "genesis", 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip(b" \t\r\n"):
                continue
            place = f"line {number}, sequence {sequence + 1}"
            if len(line) > MAX_LINE_BYTES + 1:
                raise tampered(f"{place}: longer than 16 MiB")
            try:
                entry = split_line(line.decode("utf-8"))
            except ValueError as error:
                torn = not line.endswith(b"\n")
                raise Refused(INCOMPLETE if torn else TAMPERED, f"{place}: {error}") from error
            if type(entry["sequence"]) is not int or entry["sequence"] != sequence + 1:
                raise tampered(f"{place}: sequence is {entry['sequence']}")
            if entry["previous_hash"] != previous:
                raise tampered(f"{place}: previous_hash does not chain")
            payload = entry["data"].encode("utf-8")
            expected = link_hash(previous, payload, key)
            if not hmac.compare_digest(expected.encode(), str(entry["entry_hash"]).encode()):
                raise tampered(f"{place}: entry_hash is not that of the payload")
            previous, sequence = expected, sequence + 1
            yield sequence, previous, payload.decode("utf-8")


# --- decisions: docs/format/audited-record-v1.md ----------------------------------------------------------

MODEL = [("model_id", "I"), ("provider_id", "H"), ("quality_bps", "H"), ("risk_ceiling_bps", "H"),
         ("enabled", "B"), ("p95_latency_ms", "I"), ("capabilities", "Q"), ("region_mask", "Q"),
         ("input_cost_microunits_per_million_tokens", "Q"),
         ("output_cost_microunits_per_million_tokens", "Q")]
PARAMS = [("policy_epoch", "Q"), ("catalog_epoch", "Q"), ("hard_risk_limit_bps", "H"),
          ("minimum_confidence_bps", "H"), ("risk_penalty_multiplier_bps", "H"),
          ("latency_penalty_microunits_per_ms", "Q")]
REQUEST = [("request_sequence", "Q"), ("requested_model_id", "I"), ("input_tokens", "I"),
           ("output_tokens", "I"), ("business_value_microunits", "q"),
           ("budget_limit_microunits", "Q"), ("risk_bps", "H"), ("confidence_bps", "H"),
           ("minimum_quality_bps", "H"), ("max_p95_latency_ms", "I"),
           ("required_capabilities", "Q"), ("allowed_provider_mask", "Q"),
           ("required_region_mask", "Q")]
DECISION = [("request_sequence", "Q"), ("action", "B"), ("reason", "H"), ("selected_model_id", "I"),
            ("selected_model_index", "H"), ("estimated_cost_microunits", "Q"),
            ("expected_utility_microunits", "q"), ("counterfactual_model_id", "I"),
            ("counterfactual_utility_microunits", "q"), ("evaluated_models", "H"),
            ("eligible_models", "H"), ("policy_epoch", "Q"), ("catalog_epoch", "Q")]
ACTIONS = {"ExecuteRequested": 1, "Substitute": 2, "Reject": 3}
REASONS = {"RequestedModelMaximizesUtility": 1, "AlternativeMaximizesUtility": 2,
           "RiskHardLimit": 100, "ConfidenceHardLimit": 101, "NoEnabledModel": 102,
           "QualityConstraint": 103, "LatencyConstraint": 104, "CapabilityConstraint": 105,
           "ProviderConstraint": 106, "RegionConstraint": 107, "BudgetConstraint": 108,
           "NonPositiveUtility": 109, "RiskCeilingConstraint": 110}
BUNDLE = {"schema_version": "calybris.audit.v1", "digest_algorithm": "sha256", "proof_version": 1,
          "created_by": "calybris"}
DIGESTS = ["policy_digest_hex", "input_digest_hex", "decision_digest_hex", "replay_valid"]


def packed(fields, value):
    numbers = [value[name] for name, _ in fields]
    if any(type(number) is not int for number in numbers):
        raise tampered("an integer is expected")
    try:
        return struct.pack("<" + "".join(code for _, code in fields), *numbers)
    except struct.error as error:
        raise tampered(f"a number is out of its range: {error}") from error


def names(fields):
    return [name for name, _ in fields]


def policy_digest(policy):
    layout = b"calypol1\0" + packed(PARAMS, policy)
    for model in sorted(policy["models"], key=lambda model: model["model_id"]):
        layout += packed(MODEL, model)
    return hashlib.sha256(layout).digest()


def input_digest(request):
    return hashlib.sha256(b"calyinp1\0" + packed(REQUEST, request)).digest()


def decision_digest(decision):
    if decision["action"] not in ACTIONS or decision["reason"] not in REASONS:
        raise tampered("the action or the reason is unknown")
    numbers = dict(decision, action=ACTIONS[decision["action"]], reason=REASONS[decision["reason"]])
    return hashlib.sha256(b"calydcn1\0" + packed(DECISION, numbers)).digest()


def read_policy(value):
    members(value, names(PARAMS) + ["models"], ["description", "currency"])
    for model in value["models"]:
        members(model, names(MODEL), ["name"])
    value["models"].sort(key=lambda model: model["model_id"])
    return value


def check_record(payload, policies):
    """Whether the payload is an audited record, and what it establishes: "audited" or "replayed"."""
    record = load(payload)
    if not isinstance(record, dict) or set(record) != {"audit", "input", "decision", "metadata"}:
        return None
    audit, request, decision = record["audit"], record["input"], record["decision"]
    if "schema_version" in audit:
        members(audit, [*BUNDLE, "policy_epoch", "catalog_epoch", *DIGESTS])
        if any(audit[name] != value or isinstance(audit[name], bool)
               for name, value in BUNDLE.items()):
            raise tampered("the audit bundle is of another schema")
        epochs = audit["policy_epoch"], audit["catalog_epoch"]
    else:
        members(audit, DIGESTS)
        epochs = decision["policy_epoch"], decision["catalog_epoch"]
    members(request, names(REQUEST))
    members(decision, names(DECISION))
    if digest(audit["input_digest_hex"]) != input_digest(request):
        raise tampered("the input digest is not that of the request")
    if digest(audit["decision_digest_hex"]) != decision_digest(decision):
        raise tampered("the decision digest is not that of the decision")
    if not policies:
        return "audited"
    policy = policies.get(digest(audit["policy_digest_hex"]))
    if policy is None:
        raise Refused(CANNOT_TELL, f"no policy with digest {audit['policy_digest_hex']} was given")
    if epochs != (policy["policy_epoch"], policy["catalog_epoch"]):
        raise tampered("the record names other epochs than its policy has")
    if audit["replay_valid"] is not True or decide(policy, request) != decision:
        raise tampered("the decision does not replay")
    return "replayed"


# --- the rules of a decision: docs/format/audited-record-v1.md ---------------------------------------------

TIES = ["capability", "region", "provider", "quality", "risk_ceiling", "latency", "budget",
        "utility", "disabled"]
TIE_REASONS = {"capability": "CapabilityConstraint", "region": "RegionConstraint",
               "provider": "ProviderConstraint", "quality": "QualityConstraint",
               "risk_ceiling": "RiskCeilingConstraint", "latency": "LatencyConstraint",
               "budget": "BudgetConstraint", "utility": "NonPositiveUtility",
               "disabled": "NoEnabledModel"}


def cost_of(model, request):
    def part(tokens, price):
        return -(-tokens * price // 1_000_000)
    total = part(request["input_tokens"], model["input_cost_microunits_per_million_tokens"]) \
        + part(request["output_tokens"], model["output_cost_microunits_per_million_tokens"])
    return min(total, U64_MAX)


def utility_of(policy, model, request):
    value = max(request["business_value_microunits"], 0)
    gain = value * request["confidence_bps"] * model["quality_bps"] // 10**8
    risk = value * request["risk_bps"] * policy["risk_penalty_multiplier_bps"] // 10**8
    latency = model["p95_latency_ms"] * policy["latency_penalty_microunits_per_ms"]
    exact = gain - risk - cost_of(model, request) - latency
    return min(max(exact, I64[0]), I64[1])


def failed_gate(policy, model, request):
    mask, provider = request["allowed_provider_mask"], model["provider_id"]
    wanted, regions = request["required_capabilities"], request["required_region_mask"]
    limit = request["max_p95_latency_ms"]
    gates = [
        ("disabled", model["enabled"] == 0),
        ("quality", model["quality_bps"] < request["minimum_quality_bps"]),
        ("latency", limit > 0 and model["p95_latency_ms"] > limit),
        ("capability", model["capabilities"] & wanted != wanted),
        ("provider", provider > 63 or (mask != U64_MAX and not mask >> provider & 1)),
        ("region", regions != 0 and not regions & model["region_mask"]),
        ("risk_ceiling", request["risk_bps"] > model["risk_ceiling_bps"]),
        ("budget", cost_of(model, request) > request["budget_limit_microunits"]),
        ("utility", utility_of(policy, model, request) <= 0),
    ]
    return next((gate for gate, failed in gates if failed), None)


def decide(policy, request):
    models, counts, ranked = policy["models"], dict.fromkeys(TIES, 0), []

    def decision(action, reason, best, second, evaluated):
        index, model = best if best else (65_535, None)
        return {
            "request_sequence": request["request_sequence"], "action": action, "reason": reason,
            "selected_model_id": model["model_id"] if model else 0, "selected_model_index": index,
            "estimated_cost_microunits": cost_of(model, request) if model else 0,
            "expected_utility_microunits": utility_of(policy, model, request) if model else 0,
            "counterfactual_model_id": second[1]["model_id"] if second else 0,
            "counterfactual_utility_microunits":
                utility_of(policy, second[1], request) if second else 0,
            "evaluated_models": min(evaluated, 65_535), "eligible_models": min(len(ranked), 65_535),
            "policy_epoch": policy["policy_epoch"], "catalog_epoch": policy["catalog_epoch"],
        }

    if request["risk_bps"] >= policy["hard_risk_limit_bps"]:
        return decision("Reject", "RiskHardLimit", None, None, 0)
    if request["confidence_bps"] < policy["minimum_confidence_bps"]:
        return decision("Reject", "ConfidenceHardLimit", None, None, 0)
    for index, model in enumerate(models):
        gate = failed_gate(policy, model, request)
        if gate:
            counts[gate] = min(counts[gate] + 1, 65_535)
        else:
            ranked.append((index, model))
    if not ranked:
        most = max(counts.values())
        last = [gate for gate in TIES if counts[gate] == most][-1] if most else None
        reason = TIE_REASONS[last] if last else "NoEnabledModel"
        return decision("Reject", reason, None, None, len(models))
    ranked.sort(key=lambda at: (-utility_of(policy, at[1], request), cost_of(at[1], request),
                                -at[1]["quality_bps"], at[1]["model_id"]))
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    if best[1]["model_id"] == request["requested_model_id"]:
        return decision("ExecuteRequested", "RequestedModelMaximizesUtility", best, second, len(models))
    return decision("Substitute", "AlternativeMaximizesUtility", best, second, len(models))


# --- Ed25519, RFC 8032 §5.1 and §6 --------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def same(a, b):
    return not (a[0] * b[2] - b[0] * a[2]) % P and not (a[1] * b[2] - b[1] * a[2]) % P


def point(encoded):
    """A point from its canonical encoding, none for any other."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def small_order(p):
    return same(times(8, p), (0, 1, 1, 0))


def signed(public_key, message, signature):
    """Strict verification: canonical encodings, no point of small order."""
    if len(signature) != 64:
        return False
    a, r = point(public_key), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER or small_order(a) or small_order(r):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little")
    return same(times(s, BASE), add(r, times(k % ORDER, a)))


# --- signatures, receipts, states: docs/format/{signature,receipt}-v1.md ---------------------

def check_signature(tag, body, block, trusted):
    members(block, ["signer_id", "signed_at_epoch_ms", "public_key_hex", "signature_hex"])
    for key in trusted:
        members(key, ["signer_id", "public_key_hex"], ["not_before_epoch_ms", "not_after_epoch_ms"])
        first = key.get("not_before_epoch_ms", 0)
        last = key.get("not_after_epoch_ms", U64_MAX)
        if (key["signer_id"], key["public_key_hex"]) == (block["signer_id"], block["public_key_hex"]) \
                and first <= block["signed_at_epoch_ms"] <= last:
            break
    else:
        raise Refused(INCOMPLETE, f"the key of {block['signer_id']!r} is not trusted, or not then")
    message = tag + body + struct.pack("<Q", block["signed_at_epoch_ms"]) + block["signer_id"].encode()
    if not signed(digest(block["public_key_hex"]), message, digest(block["signature_hex"], 64)):
        raise tampered("the signature does not match what it signs")


def claims_digest(receipt):
    schema = receipt["schema_version"].encode()
    layout = b"calyrcp1\0" + struct.pack("<Q", len(schema)) + schema
    layout += struct.pack("<QQ", receipt["policy_epoch"], receipt["catalog_epoch"])
    for name in DIGESTS[:3]:
        layout += digest(receipt[name])
    layout += bytes([receipt["replay_valid"]])
    state, wal = receipt.get("state"), receipt.get("wal")
    layout += bytes([state is not None])
    if state is not None:
        layout += struct.pack("<Q", state["step"]) + digest(state["state_digest_before_hex"])
        layout += digest(state["state_digest_after_hex"])
    layout += bytes([wal is not None])
    if wal is not None:
        layout += struct.pack("<Q", wal["sequence"]) + digest(wal["entry_hash"])
    return hashlib.sha256(layout).digest()


def check_receipt(receipt, trusted):
    required = ["schema_version", "policy_epoch", "catalog_epoch", *DIGESTS, "claims_digest_hex"]
    members(receipt, required, ["state", "wal", "signature"])
    if receipt["schema_version"] != "calybris.receipt.v1":
        raise tampered("the receipt is of another schema")
    claims = claims_digest(receipt)
    if claims != digest(receipt["claims_digest_hex"]):
        raise tampered("the claims digest is not that of the claims")
    if "signature" not in receipt:
        raise Refused(INCOMPLETE, "the receipt is not signed")
    check_signature(b"calyrcs1\0", claims, receipt["signature"], trusted)


def state_digest(step, state):
    return hashlib.sha256(b"calystt1\0" + struct.pack("<Q", step) + state).digest()


# --- the tree and its checkpoints: docs/format/checkpoint-v1.md ------------------------------------

def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """The roots of the full subtrees along the right edge."""

    def __init__(self):
        self.size, self.peaks = 0, []

    def append(self, entry):
        node, size = leaf_hash(entry), self.size
        while size & 1:
            node, size = node_hash(self.peaks.pop(), node), size >> 1
        self.peaks.append(node)
        self.size += 1

    def root(self):
        if not self.peaks:
            return hashlib.sha256().digest()
        node = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            node = node_hash(left, node)
        return node


def check_inclusion(proof, entry, size, root):
    members(proof, ["leaf_index", "tree_size", "hashes"])
    index, last = proof["leaf_index"], proof["tree_size"] - 1
    if proof["tree_size"] != size or not 0 <= index <= last:
        raise tampered("the proof is of another tree")
    node = leaf_hash(entry)
    for sibling in map(digest, proof["hashes"]):
        if last == 0:
            raise tampered("the proof has too many hashes")
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    if last or node != root:
        raise tampered("the entry is not under the checkpoint's root")


def read_checkpoint(note, vkey):
    """The origin, size and root of a checkpoint, signed by the key given, if one is."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or str(int(lines[1])) != lines[1]:
        raise tampered("the checkpoint is malformed")
    root = base64.b64decode(lines[2], validate=True)
    if len(root) != 32:
        raise tampered("the checkpoint's root is not 32 bytes")
    if vkey is not None:
        name, key_id, key = vkey.split("+", 2)
        key = base64.b64decode(key, validate=True)
        expected = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
        if key[:1] != b"\1" or len(key) != 33 or key_id != expected.hex():
            raise Refused(USAGE, "the log's key is malformed")
        if lines[0] != name:
            raise tampered(f"the checkpoint is of {lines[0]!r}, not of {name!r}")
        made = [line.split(" ")[2] for line in signatures.splitlines()
                if line.startswith(f"\u2014 {name} ")]
        made = [base64.b64decode(payload, validate=True) for payload in made]
        made = [payload[4:] for payload in made if payload[:4] == expected]
        if not made:
            raise Refused(INCOMPLETE, "the log did not sign the checkpoint")
        if not all(signed(key[1:], text.encode(), signature) for signature in made):
            raise tampered("the log's signature does not match the checkpoint")
    return lines[0], int(lines[1]), root


# --- commands ------------------------------------------------------------------------------------

def load_file(path):
    return load(pathlib.Path(path).read_text(encoding="utf-8"))


def verify_log(arguments):
    key = None
    if arguments.key_file:
        key = bytes.fromhex(pathlib.Path(arguments.key_file).read_text().strip())
    policies = [read_policy(load_file(path)) for path in arguments.policy]
    policies = {policy_digest(policy): policy for policy in policies}
    anchor = load_file(arguments.anchor) if arguments.anchor else None
    if anchor is not None:
        members(anchor, ["schema_version", "sequence", "last_hash", "keyed"])
    checkpoint = None
    if arguments.checkpoint:
        note = pathlib.Path(arguments.checkpoint).read_text(encoding="utf-8")
        checkpoint = read_checkpoint(note, arguments.log_key)
    tree, counts, head = Tree(), {"audited": 0, "replayed": 0, None: 0}, "genesis"
    for sequence, head, payload in read_log(arguments.log, key):
        try:
            counts[check_record(payload, policies)] += 1
        except Refused as error:
            raise Refused(error.code, f"sequence {sequence}: {error}") from error
        tree.append(bytes.fromhex(head))
        if anchor and anchor["sequence"] == sequence and anchor["last_hash"] != head:
            raise tampered(f"sequence {sequence}: not the trusted head")
        if checkpoint and checkpoint[1] == sequence and checkpoint[2] != tree.root():
            raise tampered(f"sequence {sequence}: the log's tree is not the checkpoint's")
    for trusted in [anchor and anchor["sequence"], checkpoint and checkpoint[1]]:
        if trusted is not None and trusted > tree.size:
            raise Refused(INCOMPLETE, f"the log ends at {tree.size}, a trusted head is {trusted}")
    if checkpoint and arguments.log_key is None:
        raise Refused(CANNOT_TELL, "it agrees, but nobody's signature was checked: give --log-key")
    return f"{tree.size} entries, {counts['audited'] + counts['replayed']} audited, " \
           f"{counts['replayed']} replayed, head {head}"


def verify_bundle(arguments):
    bundle = load_file(arguments.bundle)
    members(bundle, ["schema_version", "entry", "inclusion", "checkpoint"], ["policy"])
    entry = members(bundle["entry"], ["sequence", "previous_hash", "entry_hash", "payload", "keyed"])
    if bundle["schema_version"] != "calybris.bundle.v1":
        raise Refused(USAGE, "the bundle is of another schema")
    if entry["keyed"]:
        raise Refused(CANNOT_TELL, "the log is keyed")
    if link_hash(entry["previous_hash"], entry["payload"].encode(), None) != entry["entry_hash"]:
        raise tampered("the entry's hash is not that of its payload")
    _, size, root = read_checkpoint(bundle["checkpoint"], arguments.log_key)
    if bundle["inclusion"]["leaf_index"] + 1 != entry["sequence"]:
        raise tampered("the proof is of another entry")
    check_inclusion(bundle["inclusion"], digest(entry["entry_hash"]), size, root)
    policies = {}
    if "policy" in bundle:
        policy = read_policy(bundle["policy"])
        policies[policy_digest(policy)] = policy
    established = check_record(entry["payload"], policies)
    known = arguments.policy_digest
    if known is not None and digest(known) not in policies:
        raise tampered("the policy is not the one you know")
    if arguments.log_key is None or known is None or established != "replayed":
        raise Refused(CANNOT_TELL, "give --log-key and --policy-digest, and a bundle with its policy")
    return f"entry {entry['sequence']} is in the log of {size}, and its decision replays"


def verify_receipt(arguments):
    trusted = load_file(arguments.trusted_keys)
    members(trusted, ["schema_version", "keys"])
    check_receipt(load_file(arguments.receipt), trusted["keys"])
    return "the claims are signed by a trusted key"


def verify_vectors(arguments):
    """Reproduces the golden values in a folder."""
    folder = pathlib.Path(arguments.folder)
    checks = 0

    def expect(found, expected, what):
        nonlocal checks
        checks += 1
        if found != expected:
            raise tampered(f"{what}: {found} is not {expected}")

    def named(name):
        return load_file(folder / name)

    log = named("log.json")
    for key, lines in [(None, log["lines"]), (bytes.fromhex(log["key_hex"]), log["keyed_lines"])]:
        previous = "genesis"
        for line in lines:
            entry = split_line(line)
            expect(entry["previous_hash"], previous, "previous_hash")
            previous = link_hash(previous, entry["data"].encode(), key)
            expect(entry["entry_hash"], previous, "entry_hash")
    audited = named("audited_log.json")
    policy = read_policy(audited["policy"])
    for line in audited["lines"]:
        payload = split_line(line)["data"]
        expect(check_record(payload, {policy_digest(policy): policy}), "replayed", "record")
    case = named("case.json")
    policy, request, wanted = read_policy(case["policy"]), case["input"], case["expect"]
    decision = decide(policy, request)
    expect(decision, wanted["decision"], "decision")
    digests = [policy_digest(policy), input_digest(request), decision_digest(decision)]
    for name, found in zip(["policy_digest", "input_digest", "decision_digest"], digests):
        expect(found.hex(), wanted[name], name)
    for state in named("state.json"):
        found = state_digest(state["step"], bytes.fromhex(state["state_hex"]))
        expect(found.hex(), state["digest"], "state digest")
    signature = named("signed_policy.json")
    block = {name: signature[name] for name in
             ["signer_id", "signed_at_epoch_ms", "public_key_hex", "signature_hex"]}
    trusted = [{"signer_id": block["signer_id"], "public_key_hex": block["public_key_hex"]}]
    check_signature(b"calysig1\0", digests[0], block, trusted)
    changed = dict(block, signed_at_epoch_ms=block["signed_at_epoch_ms"] + 1)
    try:
        check_signature(b"calysig1\0", digests[0], changed, trusted)
    except Refused as error:
        expect(error.code, TAMPERED, "a changed signature")
    else:
        raise tampered("a changed signature verifies")
    receipt = named("receipt.json")
    for variant in receipt["variants"]:
        made = {"schema_version": "calybris.receipt.v1", "policy_epoch": policy["policy_epoch"],
                "catalog_epoch": policy["catalog_epoch"], "replay_valid": True,
                "claims_digest_hex": variant["claims_digest"],
                "signature": dict(block, signature_hex=variant["signature"])}
        made.update(zip(DIGESTS, [found.hex() for found in digests]))
        if variant["state"]:
            made["state"] = {"step": receipt["step"],
                             "state_digest_before_hex": receipt["state_before"],
                             "state_digest_after_hex": receipt["state_after"]}
        if variant["wal"]:
            made["wal"] = {"sequence": receipt["wal_sequence"],
                           "entry_hash": receipt["wal_entry_hash"]}
        check_receipt(made, trusted)
        checks += 1
    outcome = named("outcome.json")
    identity = hashlib.sha256(b"calyidn1\0" + b"".join(digests)
                              + struct.pack("<Q", request["request_sequence"])).digest()
    expect(identity.hex(), outcome["identity_digest"], "identity")
    for seen in outcome["cases"]:
        def optional(code, value):
            return b"\0" if value is None else b"\1" + struct.pack("<" + code, value)
        selection = hashlib.sha256(
            b"calysel1\0" + struct.pack("<BI", seen["strategy"], seen["acted_model_id"])
            + optional("H", seen["propensity_bps"])).digest()
        expect(selection.hex(), seen["selection_digest"], "selection")
        found = hashlib.sha256(
            b"calyout1\0" + identity
            + struct.pack("<QI", seen["observed_at_micros"], seen["revision"]) + selection
            + bytes([seen["disposition"]]) + optional("Q", seen["realized_cost_microunits"])
            + optional("I", seen["realized_latency_ms"]) + optional("B", seen["succeeded"])).digest()
        expect(found.hex(), seen["outcome_digest"], "outcome")
    merkle = named("merkle.json")
    tree, leaves = Tree(), [bytes.fromhex(leaf) for leaf in merkle["leaves"]]
    for leaf, root in zip(leaves, merkle["roots"]):
        tree.append(leaf)
        expect(tree.root().hex(), root, "root")
    for proof in merkle["inclusion"]:
        made = {"leaf_index": proof["from"], "tree_size": proof["size"], "hashes": proof["hashes"]}
        root = bytes.fromhex(merkle["roots"][proof["size"] - 1])
        check_inclusion(made, leaves[proof["from"]], proof["size"], root)
        checks += 1
    return f"{checks} golden values are reproduced"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(required=True)
    log = commands.add_parser("log")
    log.add_argument("log")
    log.add_argument("--key-file")
    log.add_argument("--policy", action="append", default=[])
    log.add_argument("--anchor")
    log.add_argument("--checkpoint")
    log.add_argument("--log-key")
    log.set_defaults(run=verify_log)
    bundle = commands.add_parser("bundle")
    bundle.add_argument("bundle")
    bundle.add_argument("--log-key")
    bundle.add_argument("--policy-digest")
    bundle.set_defaults(run=verify_bundle)
    receipt = commands.add_parser("receipt")
    receipt.add_argument("receipt")
    receipt.add_argument("--trusted-keys", required=True)
    receipt.set_defaults(run=verify_receipt)
    vectors = commands.add_parser("vectors")
    vectors.add_argument("folder")
    vectors.set_defaults(run=verify_vectors)
    arguments = parser.parse_args()
    try:
        print(f"verified: {arguments.run(arguments)}")
        return VERIFIED
    except Refused as error:
        print(f"{['', 'tampered', 'usage', 'incomplete', 'cannot tell'][error.code]}: {error}")
        return error.code
    except OSError as error:
        print(f"cannot tell: {error}")
        return CANNOT_TELL
    except (ValueError, KeyError, TypeError) as error:
        print(f"tampered: malformed: {error!r}")
        return TAMPERED


if __name__ == "__main__":
    sys.exit(main())
