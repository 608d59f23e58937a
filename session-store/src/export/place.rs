//! Where an agent looks for its files, and what they are called.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use store_core::TimestampMs;

use crate::import::Agent;
use crate::time::to_millis_text;

/// The place of a conversation's file below the agent's folder.
pub(super) fn path(agent: Agent, native_id: &str, birth_ms: TimestampMs, cwd: &str) -> PathBuf {
    match agent {
        Agent::Claude => PathBuf::from("projects").join(claude_folder(cwd)).join(format!("{native_id}.jsonl")),
        Agent::Codex => {
            let (day, time) = codex_times(birth_ms);
            PathBuf::from("sessions").join(day).join(format!("rollout-{time}-{native_id}.jsonl"))
        }
        Agent::Pi => {
            let time = to_millis_text(birth_ms).replace([':', '.'], "-");
            PathBuf::from("sessions").join(pi_folder(cwd)).join(format!("{time}_{native_id}.jsonl"))
        }
    }
}

/// The folder with every character replaced that is not an ASCII letter or digit.
fn claude_folder(cwd: &str) -> String {
    cwd.encode_utf16()
        .map(|unit| match char::from_u32(u32::from(unit)) {
            Some(char) if char.is_ascii_alphanumeric() => char,
            _ => '-',
        })
        .collect()
}

/// The folder without the slash that it begins with, and the others replaced, between hyphens.
fn pi_folder(cwd: &str) -> String {
    let below = cwd.strip_prefix(['/', '\\']).unwrap_or(cwd);
    format!("--{}--", below.replace(['/', '\\', ':'], "-"))
}

/// A day as folders, and a second as part of a name, in UTC.
fn codex_times(ms: TimestampMs) -> (String, String) {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC);
    (time.strftime("%Y/%m/%d").to_string(), time.strftime("%Y-%m-%dT%H-%M-%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: TimestampMs = 1_795_233_488_481;

    #[test]
    fn files_lie_where_the_agents_look() {
        let of = |agent, cwd: &str| path(agent, "0-1", MS, cwd).display().to_string();
        let folder = "/home/dev/src/My Project (v2.0) ünïcode";
        let claude = "projects/-home-dev-src-My-Project--v2-0---n-code/0-1.jsonl";
        assert_eq!(of(Agent::Claude, folder), claude);
        assert_eq!(of(Agent::Codex, folder), "sessions/2026/11/21/rollout-2026-11-21T03-58-08-0-1.jsonl");
        let pi = "sessions/--home-dev-src-My Project (v2.0) ünïcode--/2026-11-21T03-58-08-481Z_0-1.jsonl";
        assert_eq!(of(Agent::Pi, folder), pi);
        assert_eq!(of(Agent::Pi, "/a/b:c"), "sessions/--a-b-c--/2026-11-21T03-58-08-481Z_0-1.jsonl");
    }
}
