#!/bin/sh
# Stands in for an agent: says how it was started, and adds turns to the conversation that it is given, as that agent would.
agent=$(basename "$0")
if [ "$1" = --version ]; then echo "$agent 0"; exit 0; fi
id=$2
terminal=no
[ -t 0 ] && [ -t 1 ] && terminal=yes
printf '%s|%s|%s|%s\n' "$agent" "$*" "$PWD" "$terminal" >> "$HOME/started"
run=$(wc -l < "$HOME/started" | tr -d ' ')
file=$(find "$HOME/.claude" "$HOME/.codex" "$HOME/.pi" -name "*$id*.jsonl" 2>/dev/null | head -n 1)
# What a turn uses, where a test says it: the model, and how many tokens it writes.
model=$(cat "$HOME/model" 2>/dev/null)
output=$(cat "$HOME/output" 2>/dev/null)
if [ -z "$file" ]; then echo "no conversation $id"; exit 9; fi

turn() {
    asked="Asked $run.$1"
    answered="Answered $run.$1"
    time=$(printf '2026-11-21T20:%02d:%02d.000Z' "$run" "$(($1 % 60))")
    case $agent in
    claude)
        last=$(sed -n 's/.*"uuid":"\([^"]*\)".*/\1/p' "$file" | tail -n 1)
        one=$(printf 'aaaaaaaa-0000-4000-8000-%05d%06d1' "$run" "$1")
        two=$(printf 'aaaaaaaa-0000-4000-8000-%05d%06d2' "$run" "$1")
        common="\"isSidechain\":false,\"timestamp\":\"$time\",\"cwd\":\"$PWD\",\"sessionId\":\"$id\",\"version\":\"2.1.197\""
        printf '{"parentUuid":"%s","type":"user","message":{"role":"user","content":"%s"},"uuid":"%s",%s}\n' \
            "$last" "$asked" "$one" "$common" >> "$file"
        printf '{"parentUuid":"%s","type":"assistant","message":{"id":"msg_%s_%s","role":"assistant","model":"%s","stop_reason":"end_turn","content":[{"type":"text","text":"%s"}],"usage":{"input_tokens":5,"output_tokens":%s}},"uuid":"%s",%s}\n' \
            "$one" "$run" "$1" "${model:-m}" "$answered" "${output:-2}" "$two" "$common" >> "$file"
        ;;
    codex)
        printf '{"timestamp":"%s","type":"event_msg","payload":{"type":"task_started"}}\n' "$time" >> "$file"
        printf '{"timestamp":"%s","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"%s"}]}}\n' "$time" "$asked" >> "$file"
        printf '{"timestamp":"%s","type":"event_msg","payload":{"type":"user_message","message":"%s"}}\n' "$time" "$asked" >> "$file"
        printf '{"timestamp":"%s","type":"response_item","payload":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"%s"}]}}\n' "$time" "$answered" >> "$file"
        printf '{"timestamp":"%s","type":"event_msg","payload":{"type":"task_complete"}}\n' "$time" >> "$file"
        ;;
    pi)
        last=$(sed -n 's/.*"id":"\([0-9a-f]\{8\}\)".*/\1/p' "$file" | tail -n 1)
        one=$(printf 'a%02x%04x1' "$run" "$1")
        two=$(printf 'a%02x%04x2' "$run" "$1")
        printf '{"type":"message","id":"%s","parentId":"%s","timestamp":"%s","message":{"role":"user","content":[{"type":"text","text":"%s"}]}}\n' \
            "$one" "$last" "$time" "$asked" >> "$file"
        printf '{"type":"message","id":"%s","parentId":"%s","timestamp":"%s","message":{"role":"assistant","content":[{"type":"text","text":"%s"}],"stopReason":"stop","model":"m","provider":"p","usage":{"input":5,"output":2,"cacheRead":0,"cacheWrite":0}}}\n' \
            "$two" "$one" "$time" "$answered" >> "$file"
        ;;
    esac
}

case $(cat "$HOME/mode" 2>/dev/null) in
fail) turn 1; exit 3 ;;
torn) turn 1; printf '{"type":"half of a l' >> "$file"; kill -9 $$ ;;
wait)
    echo "$agent is ready"
    while [ ! -e "$HOME/go" ]; do sleep 0.05; done
    turn 1
    ;;
many)
    echo "$agent is ready"
    for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do turn "$number"; done
    : > "$HOME/done"
    ;;
*) turn 1; echo "$agent has said something" ;;
esac
