//! What an agent is told of another's conversation, and what not.

use serde_json::{Value, json};
use session_store::export::{ExportOptions, export};
use session_store::import::Agent;
use session_store::{
    INTERRUPTED, NewSegment, SegmentLocation, SegmentState, append_entry, compact, create_segment, plan_compaction,
    save_delta, save_run_errored, save_turn_end, save_usage, save_user_input,
};
use store_core::{Content, Item, LlmUsage, LogEntry, Part, Role, SegmentMeta, SessionConfig, SystemItem};

use super::said::{exported, said_in};
use crate::import::world::{NOON, World};

const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVQI12P4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

struct Talk {
    world: World,
    at: SegmentLocation,
    state: SegmentState,
}

impl Talk {
    fn of(agent: &str) -> Self {
        let world = World::memory();
        let meta = SegmentMeta { agent: Some(agent.to_owned()), ..SegmentMeta::default() };
        let config = SessionConfig {
            model: Some("the-model".into()),
            cwd: Some("/home/dev".into()),
            branch: Some("main".into()),
            ..SessionConfig::default()
        };
        let at = create_segment(&*world.store, NOON, NewSegment { meta, config, ..NewSegment::default() }).unwrap();
        let state = SegmentState::open(&*world.store, at).unwrap();
        Self { world, at, state }
    }

    fn asks(&self, text: &str) -> &Self {
        save_user_input(&*self.world.store, &self.state, NOON, vec![Part::text(text)]).unwrap();
        self
    }

    fn answers(&self, items: Vec<Item>) -> &Self {
        save_delta(&*self.world.store, &self.state, NOON, items).unwrap();
        self
    }

    fn puts_in(mut self, role: Role, text: &str) -> Self {
        let entry = LogEntry::SystemItem(SystemItem { ts: NOON, item: Item::message(role, text), injected: true });
        append_entry(&*self.world.store, self.at, entry).unwrap();
        self.state = SegmentState::open(&*self.world.store, self.at).unwrap();
        self
    }

    fn file(&self, agent: Agent) -> Vec<Value> {
        let made = export(&*self.world.store, self.at.session_id, self.at.segment_id, agent, &ExportOptions::default());
        let text = String::from_utf8(made.unwrap().bytes).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn text(&self, agent: Agent) -> String {
        self.file(agent).iter().map(|record| format!("{record}\n")).collect()
    }
}

fn call(id: &str) -> Item {
    Item::ToolCall { call_id: id.into(), name: "shell".into(), arguments: json!({"command": "ls"}) }
}

fn result(id: &str, text: &str) -> Item {
    Item::ToolResult { call_id: id.into(), parts: vec![Part::text(text)], is_error: false }
}

fn says(text: &str) -> Item {
    Item::message(Role::Assistant, text)
}

#[test]
fn a_thought_is_told_to_the_agent_that_had_it_and_to_no_other() {
    for (of, name) in [(Agent::Claude, "claude"), (Agent::Codex, "codex"), (Agent::Pi, "pi")] {
        let talk = Talk::of(name);
        let thought = Item::Reasoning {
            text: "Think hard.".into(),
            signature: Some("SIGNED".into()),
            encrypted: Some("SEALED".into()),
        };
        talk.asks("Why?").answers(vec![thought, says("Because.")]);
        for agent in Agent::ALL {
            let text = talk.text(agent);
            let is_told = text.contains("Think hard.") || text.contains("SIGNED") || text.contains("SEALED");
            assert_eq!(is_told, agent == of, "{of} in {agent}: {text}");
        }
    }
}

#[test]
fn instructions_for_another_model_stay_behind_and_what_the_person_was_made_to_say_goes_along() {
    let talk = Talk::of("codex");
    let talk = talk.puts_in(Role::Developer, "You may write anywhere.").puts_in(Role::User, "# AGENTS.md");
    talk.asks("Go").answers(vec![says("Gone.")]);
    for agent in Agent::ALL {
        let text = talk.text(agent);
        assert_eq!(text.contains("You may write anywhere."), agent == Agent::Codex, "{agent}");
        assert!(text.contains("# AGENTS.md"), "{agent}");
    }
    let other = World::memory();
    let folder = tempfile::tempdir().unwrap();
    for agent in Agent::ALL {
        let made = exported(&talk.world, talk.at.session_id, agent);
        other.import(&[super::round_trip::put(folder.path(), &made)]);
        let said = said_in(&other, other.session(&made.native_id).unwrap());
        assert_eq!(said.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["Go", "Gone."], "{agent}");
    }
}

#[test]
fn an_open_call_is_answered_in_the_file_alone() {
    let talk = Talk::of("other");
    talk.asks("Look").answers(vec![call("a"), call("b"), result("b", "found")]);
    save_run_errored(&*talk.world.store, &talk.state, NOON, "killed", true).unwrap();
    talk.asks("And?").answers(vec![says("Well.")]);
    let before = talk.world.logs();
    for agent in Agent::ALL {
        let text = talk.text(agent);
        assert_eq!(text.matches(INTERRUPTED).count(), 1, "{agent}: {text}");
        let (answer, made) = (text.find("found").unwrap(), text.find(INTERRUPTED).unwrap());
        assert!(answer < made && made < text.find("And?").unwrap(), "{agent}");
    }
    assert_eq!(talk.world.logs(), before);
}

#[test]
fn images_are_kept_in_prompts_and_results() {
    let talk = Talk::of("other");
    let image =
        || Part::Image { media_type: Some("image/png".into()), data: Some(Content::Inline(IMAGE.into())), url: None };
    save_user_input(&*talk.world.store, &talk.state, NOON, vec![Part::text("What is it?"), image()]).unwrap();
    let shot = Item::ToolResult { call_id: "a".into(), parts: vec![image(), Part::text("shot")], is_error: false };
    talk.answers(vec![call("a"), shot, says("A dot.")]);
    let expected = said_in(&talk.world, talk.at.session_id);
    for agent in Agent::ALL {
        let made = exported(&talk.world, talk.at.session_id, agent);
        assert_eq!(String::from_utf8(made.bytes.clone()).unwrap().matches(IMAGE).count(), 2, "{agent}");
        let other = World::memory();
        let folder = tempfile::tempdir().unwrap();
        other.import(&[super::round_trip::put(folder.path(), &made)]);
        assert_eq!(said_in(&other, other.session(&made.native_id).unwrap()), expected, "{agent}");
    }
}

#[test]
fn usage_goes_along_under_its_own_id_and_counts_once() {
    let talk = Talk::of("other");
    let usage = |id: Option<&str>, input| LlmUsage {
        ts: NOON,
        request_id: id.map(str::to_owned),
        model: Some("the-model".into()),
        history_len: 0,
        input_total_tokens: input,
        cache_read_tokens: 40,
        cache_write_tokens: 5,
        output_tokens: 7,
        reasoning_tokens: None,
        cost: None,
    };
    talk.asks("One").answers(vec![says("1"), call("a")]);
    save_usage(&*talk.world.store, &talk.state, usage(Some("r1"), 100)).unwrap();
    talk.answers(vec![result("a", "x"), says("2")]);
    save_usage(&*talk.world.store, &talk.state, usage(None, 200)).unwrap();
    save_turn_end(&*talk.world.store, &talk.state, NOON).unwrap();
    talk.world.index.refresh(&*talk.world.store).unwrap();
    let expected = talk.world.usage();
    let other = World::memory();
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for agent in Agent::ALL {
        let alone = World::memory();
        paths.push(super::round_trip::put(folder.path(), &exported(&talk.world, talk.at.session_id, agent)));
        alone.import(&paths[paths.len() - 1..]);
        assert_eq!(alone.usage(), expected, "{agent}");
    }
    other.import(&paths);
    assert_eq!(other.rows().len(), 3);
    assert_eq!(other.usage(), expected, "three files of one conversation");
}

#[test]
fn a_compaction_that_was_made_here_goes_along_in_every_form() {
    let talk = Talk::of("claude");
    for turn in ["one", "two", "three"] {
        talk.asks(&format!("Question {turn}")).answers(vec![
            call(turn),
            result(turn, "r"),
            says(&format!("Answer {turn}")),
        ]);
        save_turn_end(&*talk.world.store, &talk.state, NOON).unwrap();
    }
    let parts = session_store::lineage::load(&*talk.world.store, talk.at.session_id, talk.at.segment_id).unwrap();
    let plan = plan_compaction(&parts, &session_store::CompactOptions { keep_turns: 1 }).unwrap();
    let compacted = compact(&*talk.world.store, NOON, &plan, "They asked three things.").unwrap();
    let at = SegmentState::open(&*talk.world.store, compacted).unwrap();
    save_user_input(&*talk.world.store, &at, NOON, vec![Part::text("Question four")]).unwrap();
    save_delta(&*talk.world.store, &at, NOON, vec![says("Answer four")]).unwrap();
    let session = compacted.session_id;
    let expected = said_in(&talk.world, session);
    let given = |world: &World, session| {
        let leaf = session_store::current_leaf(&*world.store, session).unwrap();
        let history = session_store::restore(&*world.store, session, leaf).unwrap().history;
        let texts = history.into_iter().filter_map(|item| match item {
            Item::Message { parts, .. } => parts[0].as_text().map(str::to_owned),
            Item::ToolCall { .. } => Some("call".to_owned()),
            _ => None,
        });
        texts.collect::<Vec<String>>()
    };
    let context = given(&talk.world, session);
    assert_eq!(context[1..], ["Question three", "call", "Answer three", "Question four", "Answer four"]);
    for agent in Agent::ALL {
        let made = exported(&talk.world, session, agent);
        let other = World::memory();
        let folder = tempfile::tempdir().unwrap();
        other.import(&[super::round_trip::put(folder.path(), &made)]);
        let back = other.session(&made.native_id).unwrap();
        assert_eq!(said_in(&other, back), expected, "{agent}");
        let now = given(&other, back);
        assert_eq!(now[1..], context[1..], "{agent}");
        assert!(now[0].contains(&context[0]), "{agent}");
    }
}

#[test]
fn a_title_that_a_person_gave_goes_along() {
    let talk = Talk::of("other");
    talk.asks("Go").answers(vec![says("Gone.")]);
    talk.world.index.refresh(&*talk.world.store).unwrap();
    let organiser =
        session_store::organise::Organiser { store: &*talk.world.store, index: &talk.world.index, now: NOON };
    organiser.rename(talk.at.session_id, "The long way").unwrap();
    for agent in Agent::ALL {
        let made = exported(&talk.world, talk.at.session_id, agent);
        let other = World::memory();
        let folder = tempfile::tempdir().unwrap();
        other.import(&[super::round_trip::put(folder.path(), &made)]);
        assert_eq!(other.summary(&made.native_id).title.as_deref(), Some("The long way"), "{agent}");
    }
}

#[test]
fn what_claude_code_lists_for_its_own_model_is_told_to_no_other() {
    let world = World::of(&["claude/projects/-home-dev-src-acme-api/0331915b-d7eb-41a0-8cef-df4ffcfde694.jsonl"]);
    let session = world.rows()[0].session_id;
    for agent in Agent::ALL {
        let text = String::from_utf8(exported(&world, session, agent).bytes).unwrap();
        assert_eq!(text.contains("statusline-setup"), agent == Agent::Claude, "{agent}");
    }
}
