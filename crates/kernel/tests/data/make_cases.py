#!/usr/bin/env python3
"""An independent, exact statement of the decision rules, and the cases it decided for the tests.

    make_cases.py > oracle_cases.bin            3,000 random cases and the worked decisions
    make_cases.py check < cases.jsonl           compares with somebody else's answers

Python's integers never overflow. The file is little-endian and holds the very bytes that the
canonical digests cover: u32 policies; for each: the parameters (30 bytes), u32 models, the models
(47 bytes each), policy digest, u32 requests; for each: the request (70 bytes), nine u16 rejection
counts in gate order, request digest, decision digest.
"""
import hashlib
import json
import pathlib
import random
import struct
import sys

U64 = 2**64 - 1
PARAMS = (("policy_epoch", "Q"), ("catalog_epoch", "Q"), ("hard_risk_limit_bps", "H"),
          ("minimum_confidence_bps", "H"), ("risk_penalty_multiplier_bps", "H"),
          ("latency_penalty_microunits_per_ms", "Q"))
MODEL = (("model_id", "I"), ("provider_id", "H"), ("quality_bps", "H"), ("risk_ceiling_bps", "H"),
         ("enabled", "B"), ("p95_latency_ms", "I"), ("capabilities", "Q"), ("region_mask", "Q"),
         ("input_cost_microunits_per_million_tokens", "Q"),
         ("output_cost_microunits_per_million_tokens", "Q"))
REQUEST = (("request_sequence", "Q"), ("requested_model_id", "I"), ("input_tokens", "I"),
           ("output_tokens", "I"), ("business_value_microunits", "q"),
           ("budget_limit_microunits", "Q"), ("risk_bps", "H"), ("confidence_bps", "H"),
           ("minimum_quality_bps", "H"), ("max_p95_latency_ms", "I"),
           ("required_capabilities", "Q"), ("allowed_provider_mask", "Q"),
           ("required_region_mask", "Q"))
GATES = ("disabled", "quality", "latency", "capability", "provider", "region", "risk_ceiling",
         "budget", "utility")
REASON = {"capability": 105, "region": 107, "provider": 106, "quality": 103, "risk_ceiling": 110,
          "latency": 104, "budget": 108, "utility": 109, "disabled": 102}  # later wins a tie


def pack(fields, record):
    return struct.pack("<" + "".join(code for _, code in fields), *(record[n] for n, _ in fields))


def digest(tag, body):
    return hashlib.sha256(tag + b"\0" + body).digest()


def score(p, m, q):
    """Cost and utility."""
    cost = min(U64, sum(-(-q[side + "_tokens"] * m[side + "_cost_microunits_per_million_tokens"]
                          // 10**6) for side in ("input", "output")))
    value = max(0, q["business_value_microunits"])
    utility = (value * q["confidence_bps"] * m["quality_bps"] // 10**8
               - value * q["risk_bps"] * p["risk_penalty_multiplier_bps"] // 10**8
               - cost - m["p95_latency_ms"] * p["latency_penalty_microunits_per_ms"])
    return cost, max(-2**63, min(2**63 - 1, utility))


def failed_gate(p, m, q):
    """Position in GATES of the first gate a model fails, or None."""
    cost, utility = score(p, m, q)
    mask, regions, limit = (q["allowed_provider_mask"], q["required_region_mask"],
                            q["max_p95_latency_ms"])
    failed = (
        m["enabled"] == 0,
        m["quality_bps"] < q["minimum_quality_bps"],
        limit > 0 and m["p95_latency_ms"] > limit,
        q["required_capabilities"] & ~m["capabilities"] != 0,
        m["provider_id"] > 63 or not mask >> m["provider_id"] & 1,
        regions != 0 and regions & m["region_mask"] == 0,
        q["risk_bps"] > m["risk_ceiling_bps"],
        cost > q["budget_limit_microunits"],
        utility <= 0,
    )
    return failed.index(True) if True in failed else None


def decide(p, models, q):
    """The decision's bytes and the rejection counts."""
    counts, ranked = [0] * 9, []
    action, reason, evaluated = 3, 0, 0
    if q["risk_bps"] >= p["hard_risk_limit_bps"]:
        reason = 100
    elif q["confidence_bps"] < p["minimum_confidence_bps"]:
        reason = 101
    else:
        evaluated = len(models)
        for index, m in enumerate(models):
            gate = failed_gate(p, m, q)
            if gate is None:
                cost, utility = score(p, m, q)
                ranked.append((-utility, cost, -m["quality_bps"], m["model_id"], index))
            else:
                counts[gate] += 1
        ranked.sort()
        most = max(counts)
        tied = [REASON[g] for g in REASON if most and counts[GATES.index(g)] == most]
        reason = tied[-1] if tied else 102
    best, second = (ranked + [(0, 0, 0, 0, 65_535)] * 2)[:2]
    if ranked:
        requested = best[3] == q["requested_model_id"]
        action, reason = (1, 1) if requested else (2, 2)
    return struct.pack("<QBHIHQqIqHHQQ", q["request_sequence"], action, reason, best[3], best[4],
                       best[1], -best[0], second[3], -second[0], evaluated, len(ranked),
                       p["policy_epoch"], p["catalog_epoch"]), counts


def policy_digest(p, models):
    rows = sorted(models, key=lambda m: m["model_id"])
    return digest(b"calypol1", pack(PARAMS, p) + b"".join(pack(MODEL, m) for m in rows))


def answers(p, models, q):
    body, counts = decide(p, models, q)
    return (policy_digest(p, models), digest(b"calyinp1", pack(REQUEST, q)),
            digest(b"calydcn1", body), counts)


def check(case):
    """Somebody else's answers to a case are ours."""
    p, expect = case["policy"], case["expect"]
    ours = answers(p, p["models"], case["input"])
    names = ("policy_digest", "input_digest", "decision_digest")
    theirs = [bytes.fromhex(expect[n]) for n in names]
    theirs.append([expect["rejections"][g] for g in GATES])
    assert list(ours) == theirs, case


class Random(random.Random):
    def wide(self, bits):
        return self.choice((0, 1, 2**bits - 1, self.getrandbits(bits),
                            self.getrandbits(self.randint(1, bits))))

    def bps(self):
        return self.choice((0, 1, 9_999, 10_000, self.randint(0, 10_000),
                            self.randint(4_000, 9_900)))

    def model(self, model_id, extreme):
        price = (lambda top: self.wide(64)) if extreme else (lambda top: self.randint(0, top))
        return dict(
            model_id=model_id, provider_id=self.randint(0, 63), quality_bps=self.bps(),
            risk_ceiling_bps=self.choice((10_000, 9_500, self.bps())),
            enabled=int(self.random() < 0.9),
            p95_latency_ms=self.wide(32) if extreme else self.randint(0, 4_000),
            capabilities=self.choice((self.getrandbits(4), 15, U64)),
            region_mask=self.choice((U64, self.getrandbits(3))),
            input_cost_microunits_per_million_tokens=price(90_000_000),
            output_cost_microunits_per_million_tokens=price(400_000_000))

    def policy(self):
        extreme = self.random() < 0.3
        ids = sorted(self.sample(range(1, 400), self.randint(1, 24)))
        models = [self.model(i, extreme) for i in ids]
        if self.random() < 0.3:  # ties
            for m in models[1:]:
                for name in list(m)[2:]:
                    if self.random() < 0.9:
                        m[name] = models[0][name]
        models[0]["enabled"] = 1
        return dict(
            policy_epoch=self.wide(64), catalog_epoch=self.wide(64),
            hard_risk_limit_bps=self.choice((9_600, 10_000, 10_000, self.bps())),
            minimum_confidence_bps=self.choice((0, 0, 5_500, self.bps())),
            risk_penalty_multiplier_bps=self.choice((0, 3_500, self.randint(0, 50_000))),
            latency_penalty_microunits_per_ms=self.wide(64) if extreme else self.randint(0, 50),
        ), models

    def request(self, models):
        extreme = self.random() < 0.2
        tokens = (lambda top: self.wide(32)) if extreme else (lambda top: self.randint(0, top))
        model = self.choice(models)
        return dict(
            request_sequence=self.wide(64),
            requested_model_id=self.choice((model["model_id"], self.randint(0, 400))),
            input_tokens=tokens(200_000), output_tokens=tokens(20_000),
            business_value_microunits=self.choice((0, -1, -2**63, 2**63 - 1, self.getrandbits(63)))
            if extreme else self.randint(0, 50_000_000),
            budget_limit_microunits=self.choice((U64, self.wide(64), self.randint(0, 80_000_000))),
            risk_bps=self.choice((0, 500, 2_000, model["risk_ceiling_bps"], self.bps())),
            confidence_bps=self.choice((6_000, 9_000, 10_000, self.bps())),
            minimum_quality_bps=self.choice((0, 0, 2_000, model["quality_bps"], self.bps())),
            max_p95_latency_ms=self.choice((0, model["p95_latency_ms"], self.wide(32))),
            required_capabilities=self.choice((0, 0, 1, self.getrandbits(3))),
            allowed_provider_mask=self.choice((U64, U64, self.getrandbits(64))),
            required_region_mask=self.choice((0, 0, self.getrandbits(3), 1 << self.randint(0, 63))))


def record(p, models, requests):
    out = pack(PARAMS, p) + struct.pack("<I", len(models))
    out += b"".join(pack(MODEL, m) for m in models)
    out += policy_digest(p, models) + struct.pack("<I", len(requests))
    for q in requests:
        _, input_digest, decision_digest, counts = answers(p, models, q)
        out += pack(REQUEST, q) + struct.pack("<9H", *counts) + input_digest + decision_digest
    return out


def main():
    if sys.argv[1:] == ["check"]:
        total = 0
        for total, line in enumerate(sys.stdin, 1):
            check(json.loads(line))
        print(f"{total} cases agree")
        return
    r, records = Random(20_240_501), []
    for line in pathlib.Path(__file__).with_name("decisions.jsonl").read_text().splitlines():
        case = json.loads(line)
        check(case)
        records.append(record(case["policy"], case["policy"]["models"], [case["input"]]))
    for _ in range(150):
        p, models = r.policy()
        records.append(record(p, models, [r.request(models) for _ in range(20)]))
    sys.stdout.buffer.write(struct.pack("<I", len(records)) + b"".join(records))


main()
