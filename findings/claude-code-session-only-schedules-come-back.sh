#!/usr/bin/env bash
# Claude Code's "session-only" schedules outlive the process: a resumed conversation has them again.
#
# Package: @anthropic-ai/claude-code 2.1.332 (npm), in print mode, against a Messages API of this script's own. No key, no network but the registry.
# What CronCreate itself answers: the job is "Session-only (not written to disk, dies when Claude exits)".
# Guess before looking: after the process has ended, --resume brings the conversation back without the schedule.
# Seen: the resumed process lists the same job (same id, same cron), a one-shot one as well as a recurring one. A new conversation in the same
#   directory and configuration has none. So whoever resumes conversations for people must expect prompts that nobody sent in this process.
#
# Needs npm and python3. Fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error --no-package-lock @anthropic-ai/claude-code@2.1.332 >/dev/null
mkdir "$dir/work" "$dir/home"
cat >"$dir/try.py" <<'PY'
import http.server, json, os, re, subprocess, sys, threading, uuid

ROOT = sys.argv[1]
WORDS = {"make both": [("CronCreate", {"cron": "7 3 1 1 *", "prompt": "look again", "recurring": True}),
                       ("CronCreate", {"cron": "9 4 2 2 *", "prompt": "look once", "recurring": False})],
         "list them": [("CronList", {})]}


class Api(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last = [m for m in asked.get("messages", []) if m["role"] == "user"][-1]["content"]
        blocks = [{"type": "text", "text": last}] if isinstance(last, str) else last
        calls = []
        if not any(b["type"] == "tool_result" for b in blocks):
            text = " ".join(b.get("text", "") for b in blocks if not b.get("text", "").startswith("<system-reminder>"))
            calls = next((calls for word, calls in WORDS.items() if word in text), [])
        events = [("message_start", {"message": {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": asked.get("model", "m"),
                   "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}})]
        if not calls:
            events += [("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
                       ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "done"}}), ("content_block_stop", {"index": 0})]
        for index, (name, given) in enumerate(calls):
            block = {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": name, "input": {}}
            events += [("content_block_start", {"index": index, "content_block": block}),
                       ("content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": json.dumps(given)}}),
                       ("content_block_stop", {"index": index})]
        stop = "tool_use" if calls else "end_turn"
        events += [("message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 1}}), ("message_stop", {})]
        body = "".join(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n" for kind, fields in events).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def turn(flags, text):
    """One process, one message; gives what the tools answered."""
    environment = {"PATH": os.environ["PATH"], "HOME": f"{ROOT}/home", "CLAUDE_CONFIG_DIR": f"{ROOT}/home/config", "ANTHROPIC_API_KEY": "none",
                   "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                   "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1"}
    command = [f"{ROOT}/node_modules/.bin/claude", "--print", "--verbose", "--output-format", "stream-json", "--input-format", "stream-json",
               "--setting-sources", "", "--allowedTools", "CronCreate", "CronList", *flags]
    child = subprocess.Popen(command, cwd=f"{ROOT}/work", env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(json.dumps({"type": "user", "message": {"role": "user", "content": text}, "parent_tool_use_id": None, "session_id": ""}) + "\n")
    child.stdin.flush()
    answers = []
    for line in child.stdout:
        said = json.loads(line)
        if said["type"] == "user" and isinstance(said["message"]["content"], list):
            for block in said["message"]["content"]:
                if block["type"] == "tool_result":
                    answers.append(block["content"] if isinstance(block["content"], str) else json.dumps(block["content"]))
        if said["type"] == "result":
            break
    child.stdin.close()
    child.wait(30)
    return answers


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
conversation = str(uuid.uuid4())
made = turn(["--session-id", conversation], "make both")
print("made:   ", made)
resumed = turn(["--resume", conversation], "list them")
print("resumed:", resumed)
other = turn(["--session-id", str(uuid.uuid4())], "list them")
print("other:  ", other)
ids = [re.search(r"\b[0-9a-f]{8}\b", answer)[0] for answer in made]
assert len(ids) == 2 and all("ession-only" in answer for answer in made), "changed: CronCreate says something else"
assert all(one in resumed[0] for one in ids), "changed: the schedules are gone after --resume"
assert not any(one in other[0] for one in ids), "changed: another conversation has them too"
print("as described")
PY
timeout 240 python3 "$dir/try.py" "$dir"
