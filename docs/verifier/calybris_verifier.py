#!/usr/bin/env python3
"""An independent verifier of Calybris evidence, in Python's standard library alone.

Written from docs/format/, not from the Rust sources, so that the two check each other: the
specification is sufficient as long as both agree on every vector and every log.

    calybris_verifier.py log LOG [--archive FOLDER] [--key-file HEX] [--policy POLICY.json]...
                             [--anchor ANCHOR.json] [--checkpoint NOTE] [CHECKPOINT KEYS]
    calybris_verifier.py bundle BUNDLE.json [--policy-digest HEX] [CHECKPOINT KEYS]
    calybris_verifier.py receipt RECEIPT.json --trusted-keys KEYS.json

The keys of a checkpoint: --log-key VKEY [--witness VKEY]... [--quorum N]. The golden and the hostile values of the
repository are checked by check_vectors.py beside this file.

Exit codes are those of `calybris`: 0 verified, 1 tampered, 2 usage, 3 incomplete, 4 cannot tell.
"""

import argparse
import base64
import gzip
import hashlib
import hmac
import json
import pathlib
import re
import struct
import sys
import zlib
import unicodedata

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


def whole(text):
    # Legal JSON, but no spelling of an integer: a float is refused wherever one is expected.
    return -0.0 if text == "-0" else int(text)


STRICT = {"object_pairs_hook": no_repeats, "parse_constant": no_constants, "parse_int": whole}


def load(text):
    return json.loads(text, **STRICT)


def members(value, required, optional=()):
    if not isinstance(value, dict):
        raise tampered("an object is expected")
    missing, unknown = set(required) - set(value), set(value) - set(required) - set(optional)
    if missing or unknown:
        raise tampered(f"members missing {sorted(missing)}, unknown {sorted(unknown)}")
    return value


def unsigned(value, bits=64):
    """An integer of that width, and no boolean, fraction or text."""
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise tampered(f"{value!r} is not an integer of {bits} bits")
    return value


def boolean(value):
    if type(value) is not bool:
        raise tampered(f"{value!r} is neither true nor false")
    return value


def constant(value, expected):
    if value != expected or type(value) is not type(expected):
        raise tampered(f"{value!r} is not {expected!r}")


def digest(text, size=32):
    """The bytes of a lowercase hexadecimal text, and of no other spelling."""
    if not isinstance(text, str) or len(text) != 2 * size or set(text) - set("0123456789abcdef"):
        raise tampered(f"{text!r} is not {2 * size} lowercase hexadecimal characters")
    return bytes.fromhex(text)


# --- the log: docs/format/log-v1.md, log-segments-v1.md ---------------------------------------------------------------

def split_line(text):
    """The members of a line, the payload as the text that was written."""
    decoder = json.JSONDecoder(**STRICT)
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


def open_segment(path):
    return gzip.open(path, "rb") if path.name.endswith(".gz") else open(path, "rb")


def segments_in(folder):
    """The segments of a folder by the sequence their names say, a plain one before an archived one."""
    found = {}
    for path in sorted(pathlib.Path(folder).iterdir(), key=lambda path: path.name, reverse=True):
        if re.fullmatch(r"[0-9]{20}\.log(\.gz)?", path.name):
            found[int(path.name[:20])] = path
    return dict(sorted(found.items()))


def retired_head(folder, key):
    """The head that a directory's record of retirement says the rest continues."""
    path = pathlib.Path(folder, "retired")
    if not path.exists():
        return 0, "genesis"
    record = members(load_file(path), ["schema_version", "sequence", "last_hash", "check"])
    covered = f"{record['schema_version']} {record['sequence']}".encode()
    constant(record["schema_version"], "calybris.wal-retired.v1")
    digest(record["last_hash"])
    if unsigned(record["sequence"]) < 1 or link_hash(record["last_hash"], covered, key) != record["check"]:
        raise tampered("the record of retirement is damaged, or another key's")
    return record["sequence"], record["last_hash"]


def log_files(path, key, archive):
    """The head that the first entry follows, the record's head, and the files by their first sequence."""
    path = pathlib.Path(path)
    if not path.is_dir():
        return (0, "genesis"), (0, "genesis"), {1: path}
    record = retired_head(path, key)
    files = {first: file for first, file in segments_in(path).items() if first > record[0]}
    if not files:
        raise Refused(INCOMPLETE, "the directory has no segment that continues the log")
    if not archive or record[0] == 0:
        return record, record, files
    archived = {first: file for first, file in segments_in(archive).items() if first <= record[0]}
    return (0, "genesis"), record, archived | files


def read_log(start, record, files, key):
    """Gives (sequence, entry_hash, payload) of every entry whose link holds."""
    (sequence, previous), lines = start, None
    for first, path in files.items():
        if lines is not None and not lines.endswith(b"\n"):
            raise tampered(f"before {path.name}: a segment ends inside a line")
        if first != sequence + 1:
            raise tampered(f"{path.name}: sequence {sequence + 1} is due")
        lines = b"\n"
        with open_segment(path) as file:
            for number, lines in enumerate(file, 1):
                if not lines.strip(b" \t\r\n"):
                    continue
                place = f"{path.name} line {number}, sequence {sequence + 1}"
                previous, payload = read_line(lines, place, sequence + 1, previous, key)
                sequence += 1
                if sequence == record[0] and previous != record[1]:
                    raise tampered(f"{place}: not the head that was retired")
                yield sequence, previous, payload


def read_line(line, place, due, previous, key):
    """The entry's hash and payload, if its link holds."""
    if len(line) > MAX_LINE_BYTES + 1:
        raise tampered(f"{place}: longer than 16 MiB")
    try:
        entry = split_line(line.decode("utf-8"))
    except ValueError as error:
        torn = not line.endswith(b"\n")
        raise Refused(INCOMPLETE if torn else TAMPERED, f"{place}: {error}") from error
    if type(entry["sequence"]) is not int or entry["sequence"] != due:
        raise tampered(f"{place}: sequence is {entry['sequence']}")
    if entry["previous_hash"] != previous:
        raise tampered(f"{place}: previous_hash does not chain")
    payload = entry["data"].encode("utf-8")
    expected = link_hash(previous, payload, key)
    if not hmac.compare_digest(expected.encode(), str(entry["entry_hash"]).encode()):
        raise tampered(f"{place}: entry_hash is not that of the payload")
    return expected, payload.decode("utf-8")


def read_anchor(anchor):
    members(anchor, ["schema_version", "sequence", "last_hash", "keyed"])
    constant(anchor["schema_version"], "calybris.wal-anchor.v1")
    boolean(anchor["keyed"])
    if unsigned(anchor["sequence"]) == 0:
        constant(anchor["last_hash"], "genesis")
    else:
        digest(anchor["last_hash"])
    return anchor


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
        for name, value in BUNDLE.items():
            constant(audit[name], value)
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

def read_trusted_keys(trusted):
    members(trusted, ["schema_version", "keys"])
    constant(trusted["schema_version"], "calybris.trusted-keys.v1")
    for key in trusted["keys"]:
        members(key, ["signer_id", "public_key_hex"], ["not_before_epoch_ms", "not_after_epoch_ms"])
        key["signer_id"].encode()
        digest(key["public_key_hex"])
        unsigned(key.setdefault("not_before_epoch_ms", 0))
        unsigned(key.setdefault("not_after_epoch_ms", U64_MAX))
    return trusted["keys"]


def check_signature(tag, body, block, trusted):
    members(block, ["signer_id", "signed_at_epoch_ms", "public_key_hex", "signature_hex"])
    name, time, public_key = block["signer_id"], block["signed_at_epoch_ms"], block["public_key_hex"]
    message = tag + body + struct.pack("<Q", unsigned(time)) + name.encode()
    signature = digest(block["signature_hex"], 64)
    if not any((key["signer_id"], key["public_key_hex"]) == (name, public_key)
               and key["not_before_epoch_ms"] <= time <= key["not_after_epoch_ms"]
               for key in trusted):
        raise Refused(INCOMPLETE, f"the key of {name!r} is not trusted, or not then")
    if not signed(digest(public_key), message, signature):
        raise tampered("the signature does not match what it signs")


def check_signed_policy(policy, expected, trusted):
    """Whether a trusted key signed the policy of this digest."""
    block = ["signer_id", "signed_at_epoch_ms", "public_key_hex", "signature_hex"]
    members(policy, ["policy_digest_hex", *block])
    if digest(policy["policy_digest_hex"]) != expected:
        raise tampered("another policy is signed")
    check_signature(b"calysig1\0", expected, {name: policy[name] for name in block}, trusted)


def claims_digest(receipt):
    schema = receipt["schema_version"].encode()
    layout = b"calyrcp1\0" + struct.pack("<Q", len(schema)) + schema
    for name in ["policy_epoch", "catalog_epoch"]:
        layout += struct.pack("<Q", unsigned(receipt[name]))
    for name in DIGESTS[:3]:
        layout += digest(receipt[name])
    layout += bytes([boolean(receipt["replay_valid"])])
    layout += bytes(["state" in receipt])
    if "state" in receipt:
        state = members(receipt["state"],
                        ["step", "state_digest_before_hex", "state_digest_after_hex"])
        if unsigned(state["step"]) == 0:
            raise tampered("nothing leads to step 0")
        layout += struct.pack("<Q", state["step"]) + digest(state["state_digest_before_hex"])
        layout += digest(state["state_digest_after_hex"])
    layout += bytes(["wal" in receipt])
    if "wal" in receipt:
        wal = members(receipt["wal"], ["sequence", "entry_hash"])
        layout += struct.pack("<Q", unsigned(wal["sequence"])) + digest(wal["entry_hash"])
    return hashlib.sha256(layout).digest()


def check_receipt(receipt, trusted):
    required = ["schema_version", "policy_epoch", "catalog_epoch", *DIGESTS, "claims_digest_hex"]
    members(receipt, required, ["state", "wal", "signature"])
    constant(receipt["schema_version"], "calybris.receipt.v1")
    claims = claims_digest(receipt)
    if claims != digest(receipt["claims_digest_hex"]):
        raise tampered("the claims digest is not that of the claims")
    if "signature" not in receipt:
        raise Refused(INCOMPLETE, "the receipt is not signed")
    check_signature(b"calyrcs1\0", claims, receipt["signature"], trusted)


def state_digest(step, state):
    return hashlib.sha256(b"calystt1\0" + struct.pack("<Q", step) + state).digest()


# --- outcomes: docs/format/outcome-v1.md -----------------------------------------------------------

STRATEGIES = ["maximize_utility", "explore", "human"]
DISPOSITIONS = ["applied", "abandoned", "in_flight"]
MEASURED = {"realized_cost_microunits": 64, "realized_latency_ms": 32, "succeeded": None}


def optional(code, value):
    return b"\0" if value is None else b"\1" + struct.pack("<" + code, value)


def identity_digest(policy, request, decision):
    """The identity of a decision under a policy of that digest."""
    return hashlib.sha256(b"calyidn1\0" + policy + input_digest(request) + decision_digest(decision)
                          + struct.pack("<Q", request["request_sequence"])).digest()


def outcome_digests(identity, seen):
    """The digests of the selection and of the outcome."""
    selection = hashlib.sha256(
        b"calysel1\0" + struct.pack("<BI", STRATEGIES.index(seen["strategy"]), seen["acted_model_id"])
        + optional("H", seen.get("propensity_bps"))).digest()
    cost, latency, succeeded = (seen.get(name) for name in MEASURED)
    outcome = hashlib.sha256(
        b"calyout1\0" + identity
        + struct.pack("<QI", seen["observed_at_micros"], seen["revision"]) + selection
        + bytes([DISPOSITIONS.index(seen["disposition"])]) + optional("Q", cost)
        + optional("I", latency) + optional("B", succeeded)).digest()
    return selection, outcome


def check_observation(seen, rejected):
    required = {"observed_at_micros": 64, "revision": 32, "acted_model_id": 32}
    members(seen, [*required, "strategy", "disposition"], ["propensity_bps", *MEASURED])
    for name, bits in {**required, "propensity_bps": 16, **MEASURED}.items():
        if name in seen:
            unsigned(seen[name], bits) if bits else boolean(seen[name])
    admitted = {"maximize_utility": [10_000], "explore": range(1, 10_001), "human": [None]}
    if seen.get("propensity_bps") not in admitted[seen["strategy"]]:
        raise tampered("the propensity is not one of the strategy")
    measured = [name for name in MEASURED if name in seen]
    if not {"applied": measured, "abandoned": not measured,
            "in_flight": "succeeded" not in measured}[seen["disposition"]]:
        raise tampered("the measurements are not those of the disposition")
    if rejected and seen["disposition"] != "abandoned":
        raise tampered("a rejected decision can only be abandoned")


def check_outcome(outcome, identity, rejected):
    """Whether the outcome is of the decision with this identity, which replays."""
    members(outcome, ["schema_version", "identity_digest_hex", "observation", "outcome_digest_hex"])
    constant(outcome["schema_version"], "calybris.outcome.v1")
    check_observation(outcome["observation"], rejected)
    if digest(outcome["identity_digest_hex"]) != identity:
        raise tampered("the outcome is of another decision")
    if digest(outcome["outcome_digest_hex"]) != outcome_digests(identity, outcome["observation"])[1]:
        raise tampered("the outcome's digest is not that of the outcome")


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
    index, last = unsigned(proof["leaf_index"]), unsigned(proof["tree_size"]) - 1
    if proof["tree_size"] != size or index > last:
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


def check_consistency(proof, old, new):
    """Whether the tree `new`, a size and a root, starts with all leaves of the tree `old`."""
    members(proof, ["old_size", "new_size", "hashes"])
    if (unsigned(proof["old_size"]), unsigned(proof["new_size"])) != (old[0], new[0]) or old[0] > new[0]:
        raise tampered("the proof is of other trees")
    hashes = [digest(hash) for hash in proof["hashes"]]
    if old[0] in (0, new[0]):
        if hashes or old[1] != (new[1] if old[0] else hashlib.sha256().digest()):
            raise tampered("the trees are not consistent")
        return
    index, last = old[0] - 1, new[0] - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    if old[0] & (old[0] - 1) == 0:
        hashes.insert(0, old[1])
    if not hashes:
        raise tampered("the proof has too few hashes")
    old_root = new_root = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise tampered("the proof has too many hashes")
        if index & 1 or index == last:
            old_root, new_root = node_hash(sibling, old_root), node_hash(sibling, new_root)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new_root = node_hash(new_root, sibling)
        index, last = index >> 1, last >> 1
    if last or (old_root, new_root) != (old[1], new[1]):
        raise tampered("the trees are not consistent")


def unbase64(text):
    """The bytes of a text of base64, and of no other spelling."""
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found).decode() != text:
        raise tampered(f"{text!r} is not canonical base64")
    return found


def note_name(name):
    if not name or "+" in name or any(char.isspace() or is_control(char) for char in name):
        raise tampered(f"{name!r} cannot name a key")
    return name


def is_control(char):
    return unicodedata.category(char) == "Cc"


def read_note(note):
    """The text of a note and its signatures: name, key id and bytes of each, all unchecked."""
    text, found, lines = note.rpartition("\n\n")
    if len(note.encode()) > 1_000_000 or not found or not text or text.startswith("\n"):
        raise tampered("the note is malformed")
    if any(is_control(char) for char in text.replace("\n", "")) or not lines.endswith("\n"):
        raise tampered("the note is malformed")
    signatures = []
    for line in lines[:-1].split("\n"):
        dash, name, payload = line.split(" ") if line.count(" ") == 2 else ("", "", "")
        payload = unbase64(payload)
        if dash != "\u2014" or len(payload) < 5 or len(signatures) == 100:
            raise tampered(f"{line!r} is not a signature")
        signatures.append((note_name(name), payload[:4], payload[4:]))
    return text + "\n", signatures


def read_vkey(text, kind):
    """The name, id and public key of a key of that kind, as it is written."""
    try:
        name, key_id, key = text.split("+", 2)
        key = unbase64(key)
        expected = hashlib.sha256(note_name(name).encode() + b"\n" + key).digest()[:4]
        if len(key) != 33 or key[0] != kind or key_id != expected.hex():
            raise ValueError(text)
    except (ValueError, Refused) as error:
        raise Refused(USAGE, f"the key {text!r} is malformed or of another kind") from error
    return name, expected, key[1:]


def cosigned_at(text, signatures, key):
    """The latest time at which a witness says it co-signed, none where it did not."""
    times = []
    for name, key_id, signature in signatures:
        if (name, key_id) == key[:2]:
            time = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            if not signed(key[2], message, signature[8:]):
                raise tampered(f"the co-signature of {name!r} does not match the checkpoint")
            times.append(time)
    return max(times, default=None)


def read_checkpoint(note, log_key, witnesses=(), quorum=0):
    """The origin, size and root of a checkpoint, signed by the log and the witnesses whose keys are given."""
    text, signatures = read_note(note)
    lines = text.split("\n")
    if len(lines) < 4 or "" in lines[:-1] or str(unsigned(int(lines[1]))) != lines[1]:
        raise tampered("the checkpoint is malformed")
    root = unbase64(lines[2])
    if len(root) != 32:
        raise tampered("the checkpoint's root is not 32 bytes")
    if log_key is None:
        if witnesses or quorum:
            raise Refused(USAGE, "witnesses need the log's key")
        return lines[0], int(lines[1]), root
    log = read_vkey(log_key, 1)
    if lines[0] != log[0]:
        raise Refused(CANNOT_TELL, f"the checkpoint is of {lines[0]!r}, not of {log[0]!r}")
    made = [signature for name, key_id, signature in signatures if (name, key_id) == log[:2]]
    if not made:
        raise Refused(CANNOT_TELL, "the log did not sign the checkpoint")
    if not all(signed(log[2], text.encode(), signature) for signature in made):
        raise tampered("the log's signature does not match the checkpoint")
    voices = [log]
    for key in (read_vkey(witness, 4) for witness in witnesses):
        heard = cosigned_at(text, signatures, key) is not None
        if heard and not any(key[0] == other[0] or key[2] == other[2] for other in voices):
            voices.append(key)
    if len(voices) - 1 < quorum:
        raise Refused(INCOMPLETE, f"{len(voices) - 1} known witnesses co-signed, {quorum} are needed")
    return lines[0], int(lines[1]), root


# --- commands ------------------------------------------------------------------------------------

def text_of(path):
    # Not read_text, which would make CR LF into LF.
    return pathlib.Path(path).read_bytes().decode("utf-8")


def load_file(path):
    return load(text_of(path))


def verify_log(arguments):
    key = None
    if arguments.key_file:
        key = bytes.fromhex(pathlib.Path(arguments.key_file).read_text().strip())
    policies = [read_policy(load_file(path)) for path in arguments.policy]
    policies = {policy_digest(policy): policy for policy in policies}
    anchor = read_anchor(load_file(arguments.anchor)) if arguments.anchor else None
    if anchor is not None and anchor["keyed"] != (key is not None):
        raise Refused(USAGE, "the trusted head and the log are not both keyed")
    checkpoint = None
    if arguments.checkpoint:
        checkpoint = given_checkpoint(text_of(arguments.checkpoint), arguments)
    start, record, files = log_files(arguments.log, key, arguments.archive)
    (after, head), sequence = start, start[0]
    if after and (checkpoint or anchor and 0 < anchor["sequence"] < after):
        raise Refused(CANNOT_TELL, f"entries up to {after} were retired: give their --archive")
    if after and anchor and anchor["sequence"] == after and anchor["last_hash"] != head:
        raise tampered(f"sequence {after}: not the trusted head")
    tree, counts = Tree(), {"audited": 0, "replayed": 0, None: 0}
    for sequence, head, payload in read_log(start, record, files, key):
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
        if trusted is not None and trusted > sequence:
            raise Refused(INCOMPLETE, f"the log ends at {sequence}, a trusted head is {trusted}")
    if checkpoint and arguments.log_key is None:
        raise Refused(CANNOT_TELL, "it agrees, but nobody's signature was checked: give --log-key")
    retired = f" after {after} retired ones" if after else ""
    return f"{tree.size} entries{retired}, {counts['audited'] + counts['replayed']} audited, " \
           f"{counts['replayed']} replayed, head {head}"


def given_checkpoint(note, arguments):
    return read_checkpoint(note, arguments.log_key, arguments.witness, arguments.quorum)


def verify_bundle(arguments):
    bundle = load_file(arguments.bundle)
    members(bundle, ["schema_version", "entry", "inclusion", "checkpoint"], ["policy"])
    entry = members(bundle["entry"], ["sequence", "previous_hash", "entry_hash", "payload", "keyed"])
    if bundle["schema_version"] != "calybris.bundle.v1":
        raise Refused(USAGE, "the bundle is of another schema")
    if boolean(entry["keyed"]):
        raise Refused(CANNOT_TELL, "the log is keyed")
    if entry["previous_hash"] != "genesis":
        digest(entry["previous_hash"])
    if link_hash(entry["previous_hash"], entry["payload"].encode(), None) != entry["entry_hash"]:
        raise tampered("the entry's hash is not that of its payload")
    _, size, root = given_checkpoint(bundle["checkpoint"], arguments)
    if bundle["inclusion"]["leaf_index"] + 1 != unsigned(entry["sequence"]):
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
    trusted = read_trusted_keys(load_file(arguments.trusted_keys))
    check_receipt(load_file(arguments.receipt), trusted)
    return "the claims are signed by a trusted key"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(required=True)
    log = commands.add_parser("log")
    log.add_argument("log")
    log.add_argument("--archive")
    log.add_argument("--key-file")
    log.add_argument("--policy", action="append", default=[])
    log.add_argument("--anchor")
    log.add_argument("--checkpoint")
    log.set_defaults(run=verify_log)
    bundle = commands.add_parser("bundle")
    bundle.add_argument("bundle")
    bundle.add_argument("--policy-digest")
    bundle.set_defaults(run=verify_bundle)
    for command in [log, bundle]:
        command.add_argument("--log-key")
        command.add_argument("--witness", action="append", default=[])
        command.add_argument("--quorum", type=int, default=0)
    receipt = commands.add_parser("receipt")
    receipt.add_argument("receipt")
    receipt.add_argument("--trusted-keys", required=True)
    receipt.set_defaults(run=verify_receipt)
    arguments = parser.parse_args()
    try:
        print(f"verified: {arguments.run(arguments)}")
        return VERIFIED
    except Refused as error:
        print(f"{['', 'tampered', 'usage', 'incomplete', 'cannot tell'][error.code]}: {error}")
        return error.code
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        print(f"tampered: an archived segment is damaged: {error}")
        return TAMPERED
    except OSError as error:
        print(f"cannot tell: {error}")
        return CANNOT_TELL
    except RecursionError:
        print("tampered: nested too deeply")
        return TAMPERED
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"tampered: malformed: {error!r}")
        return TAMPERED


if __name__ == "__main__":
    sys.exit(main())
