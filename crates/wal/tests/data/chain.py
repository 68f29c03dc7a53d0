"""Verifies a log with nothing but the standard library: prints "ok SEQUENCE HASH" or "bad LINE"."""
import hashlib
import hmac
import json
import sys


def payload(line):
    """The bytes of the data member as they stand."""
    decoder, at = json.JSONDecoder(), line.index("{") + 1
    while line[at] not in "}":
        name, at = decoder.raw_decode(line, at)
        at = skip(line, at, ":")
        _, end = decoder.raw_decode(line, at)
        if name == "data":
            return line[at:end].encode()
        at = skip(line, end, ",")


def skip(line, at, also):
    while line[at] in " \t\r\n" + also:
        at += 1
    return at


key = bytes.fromhex(sys.argv[2]) if len(sys.argv) > 2 else None
head, due = "genesis", 1
for number, line in enumerate(open(sys.argv[1], "rb").read().decode().split("\n"), 1):
    if not line.strip():
        continue
    entry, message = json.loads(line), head.encode() + payload(line)
    digest = hmac.new(key, message, hashlib.sha256) if key else hashlib.sha256(message)
    if (entry["sequence"], entry["previous_hash"], entry["entry_hash"]) != (due, head, digest.hexdigest()):
        sys.exit(f"bad {number}")
    head, due = entry["entry_hash"], due + 1
print("ok", due - 1, head)
