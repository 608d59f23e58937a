//! What records say beyond their entries.

use serde_json::{Value, json};
use store_core::{LogEntry, Seq};

use super::world::{World, sample};

/// What is left of the records of a conversation: of each the key of its entry and the payload.
fn rests(world: &World, native_id: &str) -> Vec<(String, Value)> {
    let session = world.session(native_id).unwrap();
    let segments = world.store.list_segments(session).unwrap();
    let records =
        segments.iter().flat_map(|segment| world.store.read_range(session, *segment, Seq::START, usize::MAX).unwrap());
    records
        .filter_map(|record| match record.entry {
            LogEntry::Extension(extension) if extension.domain.ends_with(".rest") => {
                Some((record.key.unwrap(), extension.payload))
            }
            _ => None,
        })
        .collect()
}

/// Every structured result of the samples can be told from what is stored, and none of its texts stands there twice.
#[test]
fn the_structured_result_of_a_tool_is_kept_and_repeats_nothing() {
    let mut count = 0;
    let world = World::of(&["claude"]);
    for path in super::world::files(&sample("claude")) {
        let native_id = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let Some(result) = record.get("toolUseResult") else { continue };
            let kept = rests(&world, &native_id);
            let of = |(key, _): &&(String, Value)| key.starts_with(record["uuid"].as_str().unwrap());
            // A fork's copies stand in its parent.
            let Some((_, kept)) = kept.iter().find(of) else { continue };
            let content = &record["message"]["content"][0]["content"];
            let text = content.as_str().or_else(|| content[0]["text"].as_str()).unwrap();
            let kept = whole(&world, &kept["toolUseResult"]);
            assert_eq!(resolved(kept.clone(), text), *result, "{native_id}");
            assert!(text.len() < 32 || !kept.to_string().contains(&json!(text).to_string()), "{kept}");
            count += 1;
        }
    }
    assert!(count >= 25, "{count}");
}

/// The value with the texts that lie in blobs.
fn whole(world: &World, value: &Value) -> Value {
    match value {
        Value::Object(fields) if fields.contains_key("$blob") => {
            let reference = serde_json::from_value(value.clone()).unwrap();
            Value::String(String::from_utf8(world.store.get_blob(&reference).unwrap()).unwrap())
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), whole(world, value))).collect())
        }
        Value::Array(values) => values.iter().map(|value| whole(world, value)).collect(),
        value => value.clone(),
    }
}

/// The value with what it refers to of a result's only text.
fn resolved(value: Value, text: &str) -> Value {
    match value {
        Value::Object(fields) if fields.get("$part") == Some(&json!(0)) => {
            let around = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
            match fields.get("numbered_lines").and_then(Value::as_u64) {
                Some(lines) => {
                    let lines = text.split('\n').take(usize::try_from(lines).unwrap());
                    let lines: Vec<&str> = lines.map(|line| line.split_once(['\t', '→']).unwrap().1).collect();
                    Value::String(lines.join("\n"))
                }
                None => Value::String(format!("{}{text}{}", around("before"), around("after"))),
            }
        }
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, resolved(value, text))).collect())
        }
        Value::Array(values) => values.into_iter().map(|value| resolved(value, text)).collect(),
        value => value,
    }
}

#[test]
fn show_says_nothing_of_it_and_the_log_does() {
    let world = World::of(&["claude"]);
    let native_id = "715956ee-3c34-41c6-b370-fec1bc02e834";
    let kept = rests(&world, native_id);
    assert_eq!(kept[0].1["permissionMode"], "default");
    assert!(world.branch(native_id).iter().all(|row| !row.text.contains("permissionMode")));
    assert!(world.context(native_id).iter().all(|row| !row.text.contains("permissionMode")));
    // What does not change is kept once.
    assert_eq!(kept.iter().filter(|(_, rest)| rest.get("permissionMode").is_some()).count(), 1);
}

#[test]
fn a_compaction_says_what_set_it_off() {
    let world = World::of(&["claude"]);
    let kept = rests(&world, "b30d1613-a4ae-452a-8523-64c3786f4d52");
    let told: Vec<&Value> = kept.iter().filter_map(|(_, rest)| rest.get("compactMetadata")).collect();
    assert_eq!((told.len(), &told[0]["trigger"]), (1, &json!("manual")));
}

#[test]
fn a_command_of_codex_says_how_it_ended_without_its_output() {
    let world = World::of(&["codex"]);
    let commands: Vec<Value> = world
        .rows()
        .iter()
        .filter_map(|row| row.native_id.clone())
        .flat_map(|native_id| rests(&world, &native_id))
        .map(|(_, rest)| rest)
        .filter(|rest| rest.get("exit_code").is_some())
        .collect();
    assert!(commands.len() > 10, "{}", commands.len());
    assert!(commands.iter().all(|rest| rest.get("duration").is_some() && rest.get("aggregated_output").is_none()));
}
