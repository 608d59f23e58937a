//! Stores that earlier importers wrote: without what records say beyond their entries, and with sub-agents' records among
//! those of the conversation that started them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use store_core::{Backend, CreateOptions, HistoryItem, LlmUsage, LogEntry, NewEntry, SegmentId, Seq, SessionId};

use super::sidechain;
use super::world::{Logs, World, complaints, files, sample};

/// An entry that earlier importers did not write.
fn is_rest(entry: &LogEntry) -> bool {
    matches!(entry, LogEntry::Extension(extension) if extension.domain.ends_with(".rest"))
}

/// A segment and what an earlier version wrote to it: keys and entries.
type OldLog = ((SessionId, SegmentId), Vec<(Option<String>, LogEntry)>);

/// Logs as an earlier importer wrote them.
fn earlier(logs: &Logs) -> Vec<OldLog> {
    let parsed: BTreeMap<_, Vec<(Option<String>, LogEntry)>> = logs
        .iter()
        .map(|(id, log)| {
            let entries = log.iter().map(|(key, text)| (key.clone(), serde_json::from_str(text).unwrap()));
            (*id, entries.collect())
        })
        .collect();
    // How many entries of each segment stand at and before a seq without the others.
    let before: HashMap<SegmentId, Vec<u64>> = parsed
        .iter()
        .map(|((_, segment), log)| {
            let mut count = 0;
            let counts = log.iter().map(|(_, entry)| {
                count += u64::from(!is_rest(entry));
                count
            });
            (*segment, counts.collect())
        })
        .collect();
    let moved = |segment: SegmentId, seq: Seq| Seq(before[&segment][usize::try_from(seq.0 - 1).unwrap()]);
    let mut logs: Vec<_> = parsed.into_iter().collect();
    for (_, log) in &mut logs {
        log.retain(|(_, entry)| !is_rest(entry));
        if let Some((_, LogEntry::SegmentStart(start))) = log.first_mut() {
            for origin in [&mut start.forked_from, &mut start.compacted_from].into_iter().flatten() {
                origin.seq = moved(origin.segment_id, origin.seq);
            }
            for item in &mut start.history {
                if let HistoryItem::Reference(reference) = item {
                    let first = Seq(reference.from.0 - 1);
                    let first = if first.0 == 0 { 0 } else { moved(reference.segment_id, first).0 };
                    reference.from = Seq(first + 1);
                    reference.through = moved(reference.segment_id, reference.through);
                }
            }
        }
    }
    logs
}

/// Writes logs, each after what it continues.
fn write(store: &dyn Backend, mut logs: Vec<OldLog>) {
    while !logs.is_empty() {
        let before = logs.len();
        logs.retain(|((session, segment), log)| {
            let Some((_, LogEntry::SegmentStart(start))) = log.first() else { panic!("{log:?}") };
            let is_ready = start.origin().is_none_or(|origin| {
                store.exists(origin.session_id).unwrap() && {
                    let count = store.read_entry_count(origin.session_id, origin.segment_id);
                    count.is_ok_and(|count| count >= origin.seq.0)
                }
            });
            if is_ready {
                let entries: Vec<NewEntry> = log
                    .iter()
                    .map(|(key, entry)| NewEntry::typed(entry.clone()).with_key(key.clone().unwrap()))
                    .collect();
                store.create_segment(*session, *segment, &entries, &CreateOptions::default()).unwrap();
            }
            !is_ready
        });
        assert!(logs.len() < before, "origins that are not there: {}", logs.len());
    }
}

#[test]
fn what_an_earlier_import_wrote_is_found_again() {
    for folder in ["claude", "codex", "codex-0.80.0", "pi"] {
        let now = World::of(&[folder]);
        let world = World::memory();
        let logs = earlier(&now.logs());
        let entries: usize = logs.iter().map(|(_, log)| log.len()).sum();
        write(&*world.store, logs);
        world.index.refresh(&*world.store).unwrap();
        let report = world.import(&[sample(folder)]);
        let complaints = complaints(&report);
        assert_eq!((report.failed, report.imported), (0, 0), "{folder}: {complaints:#?}");
        assert!(!complaints.iter().any(|told| told.contains("differs")), "{folder}: {complaints:#?}");
        let segments = |world: &World| world.logs().into_keys().collect::<Vec<_>>();
        assert_eq!(segments(&world), segments(&now), "{folder}");
        assert_eq!(world.told(), now.told(), "{folder}");
        // At most what is left of the last records, which gave nothing else.
        assert!(report.entries < entries as u64 / 20, "{folder}: {} of {entries}", report.entries);
        assert_eq!(world.import(&[sample(folder)]).entries, 0, "{folder}");
    }
}

#[test]
fn what_a_file_gains_behind_an_earlier_import_is_kept_whole() {
    let path = files(&sample("claude"))
        .into_iter()
        .find(|path| path.ends_with("715956ee-3c34-41c6-b370-fec1bc02e834.jsonl"))
        .unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(path.file_name().unwrap());
    let half: String = text.split_inclusive('\n').take(text.lines().count() / 2).collect();
    std::fs::write(&copy, &half).unwrap();
    let now = World::memory();
    now.import(std::slice::from_ref(&copy));
    let world = World::memory();
    write(&*world.store, earlier(&now.logs()));
    world.index.refresh(&*world.store).unwrap();
    std::fs::write(&copy, &text).unwrap();
    let report = world.import(std::slice::from_ref(&copy));
    assert!(complaints(&report).is_empty(), "{report:#?}");
    now.import(std::slice::from_ref(&copy));
    assert_eq!(world.told(), now.told());
    let rests = |world: &World| {
        let logs = world.logs().into_values().flatten();
        logs.filter(|(_, text)| text.contains(".rest\"")).filter_map(|(key, _)| key).collect::<Vec<_>>()
    };
    let (kept, all) = (rests(&world), rests(&now));
    assert!(!kept.is_empty() && kept.len() < all.len() && all.ends_with(&kept), "{kept:?} {all:?}");
}

#[test]
fn sub_agents_that_an_earlier_import_kept_as_records_become_sessions() {
    let now = World::of(&[sidechain::FILE]);
    let main = now.session(sidechain::MAIN).unwrap();
    let mut logs = earlier(&now.logs());
    let all = logs.iter().flat_map(|(_, log)| log);
    let usage: Vec<LlmUsage> = all
        .filter_map(|(_, entry)| match entry {
            LogEntry::LlmUsage(usage) => Some(usage.clone()),
            _ => None,
        })
        .collect();
    logs.retain(|((session, _), _)| *session == main);
    let (id, log) = logs.remove(0);
    let mut log: std::collections::VecDeque<_> = log.into();
    let mut entries = Vec::new();
    for line in std::fs::read_to_string(sample(sidechain::FILE)).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let uuid = record["uuid"].as_str().unwrap();
        if record["isSidechain"] == true {
            let ts = u64::try_from(
                record["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond(),
            )
            .unwrap();
            let entry = json!({"kind": "extension", "ts": ts, "domain": "import.claude", "payload": record});
            entries.push((Some(format!("{uuid}#0")), serde_json::from_value(entry).unwrap()));
            let response = record["message"]["id"].as_str();
            let usage = usage.iter().find(|usage| response.is_some() && usage.request_id.as_deref() == response);
            entries.extend(usage.map(|usage| (Some(format!("{uuid}#1")), LogEntry::LlmUsage(usage.clone()))));
            continue;
        }
        while log.front().is_some_and(|(key, _)| key.as_ref().unwrap().starts_with(uuid)) {
            entries.extend(log.pop_front());
        }
    }
    assert!(log.is_empty(), "{log:?}");
    let world = World::memory();
    let count = entries.len();
    write(&*world.store, vec![(id, entries)]);
    world.index.refresh(&*world.store).unwrap();
    let report = world.import(&[sample(sidechain::FILE)]);
    assert!(complaints(&report).is_empty(), "{report:#?}");
    assert_eq!(world.logs()[&id].len(), count);
    let shown = |world: &World| world.told().into_iter().map(|told| (told.session, told.shown)).collect::<Vec<_>>();
    assert_eq!(shown(&world), shown(&now));
    // It is the conversation's there, which had it first.
    assert_eq!(world.usage(), now.usage());
}
