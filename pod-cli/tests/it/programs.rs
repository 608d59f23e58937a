//! The real programs on exported files: Codex and pi load them by their ids and send what they say to the model.
//!
//! They run where `POD_TEST_CODEX` and `POD_TEST_PI` name them, against a model on loopback that answers every request with the same words and keeps
//! what it was asked. `docs/EXPORT.md` says what was run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::harness::World;

/// What the model says, whatever it is asked.
const ANSWER: &str = "The scripted answer. quartz-heron-0001";
const PROMPT: &str = "Go on from here. quartz-heron-0002";

/// Conversations of every agent: tools, compactions by hand and by the program, images, a killed call, a fork.
const CONVERSATIONS: [&str; 10] = [
    "b30d1613-a4ae-452a-8523-64c3786f4d52",
    "c9c4a5a4-e657-45ff-ab10-c6ea7a71f74a",
    "0a091693-5c4e-4146-84a0-3f8c179424c1",
    "0331915b-d7eb-41a0-8cef-df4ffcfde694",
    "01a1fc3e-75ff-72c0-b123-b705a12b61bd",
    "01a1fc3e-90d6-74b3-bc47-288e52a01880",
    "01a1fc3e-9ddf-73d3-9b20-8df0b777a73b",
    "01a1fc47-53e2-7ec3-8ff8-6d96bafc3350",
    "01a1fc40-60fa-7028-a9c6-f05a8b6cf3c5",
    "01a1fc41-db1c-72c1-8473-a4e300b60ed5",
];

/// Says something that is seen, also of a test that passes.
fn tell(text: &str) {
    writeln!(std::io::stderr().lock(), "{text}").unwrap();
}

/// A program of an agent.
#[derive(Clone, Copy)]
enum Program {
    Codex,
    Pi,
}

impl Program {
    const fn agent(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Pi => "pi",
        }
    }

    /// Where it is; says so if nobody named it.
    fn find(self) -> Option<PathBuf> {
        let variable = format!("POD_TEST_{}", self.agent().to_uppercase());
        let named = std::env::var_os(&variable).map(PathBuf::from);
        if named.is_none() {
            tell(&format!("SKIPPED: the real {} is not run, because {variable} does not name it", self.agent()));
        }
        named
    }

    /// Configures it for the model at a port.
    fn configure(self, home: &Path, port: u16) {
        match self {
            Self::Codex => {
                // The provider that the samples of Codex were made with: it goes on with no other one.
                let config = format!(
                    "model = \"scripted\"\nmodel_provider = \"mock\"\napproval_policy = \"never\"\n\
                     [model_providers.mock]\nname = \"mock\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
                     wire_api = \"responses\"\nenv_key = \"SCRIPTED_KEY\"\nrequest_max_retries = 0\nstream_max_retries = 0\n\
                     [analytics]\nenabled = false\n"
                );
                std::fs::write(home.join("config.toml"), config).unwrap();
            }
            Self::Pi => {
                let model = json!({"id": "scripted", "name": "scripted", "reasoning": false, "input": ["text", "image"],
                    "contextWindow": 200_000, "maxTokens": 4_000,
                    "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}});
                let provider = json!({"baseUrl": format!("http://127.0.0.1:{port}/v1"), "api": "openai-completions",
                    "apiKey": "x", "models": [model]});
                let models = json!({"providers": {"scripted": provider}}).to_string();
                std::fs::write(home.join("models.json"), models).unwrap();
                let settings = json!({"defaultProvider": "scripted", "defaultModel": "scripted"}).to_string();
                std::fs::write(home.join("settings.json"), settings).unwrap();
            }
        }
    }

    /// Goes on with a conversation, without a terminal.
    fn resume(self, program: &Path, world: &World, home: &Path, native_id: &str) -> (bool, String) {
        let mut command = Command::new(program);
        match self {
            Self::Codex => {
                command.args(["exec", "resume", "--skip-git-repo-check", native_id, PROMPT]).env("CODEX_HOME", home);
            }
            Self::Pi => {
                let model = ["--provider", "scripted", "--model", "scripted"];
                command.args(["--session", native_id, "-p", PROMPT]).args(model).env("PI_CODING_AGENT_DIR", home);
                command.env("PI_OFFLINE", "1");
            }
        }
        let output = command
            .current_dir(world.path().join("work"))
            .env("HOME", world.path())
            .env("SCRIPTED_KEY", "x")
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    }
}

/// A model that answers every request with the same words; what it was asked comes out of the channel.
fn model() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, requests) = channel();
    // It ends with the test's process: a program that still asks is answered.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let asked = asked.clone();
            std::thread::spawn(move || {
                // A program that hangs up asks nothing.
                drop(stream.and_then(|stream| serve(stream, |request| drop(asked.send(request)))));
            });
        }
    });
    (port, requests)
}

fn serve(stream: TcpStream, asked: impl Fn(String)) -> std::io::Result<()> {
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if from.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            from.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        let (kind, answer) = match () {
            () if request.starts_with("GET") => ("application/json", json!({"data": [], "models": []}).to_string()),
            () if request.contains("/responses") => ("text/event-stream", response()),
            () => ("text/event-stream", completion()),
        };
        if request.starts_with("POST") {
            asked(String::from_utf8_lossy(&body).into_owned());
        }
        let length = answer.len();
        write!(to, "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{answer}")?;
    }
}

fn response() -> String {
    let content = json!([{"type": "output_text", "text": ANSWER, "annotations": []}]);
    let item =
        json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content});
    let usage = json!({"input_tokens": 10, "output_tokens": 3, "total_tokens": 13});
    let events = [
        json!({"type": "response.created", "response": {"id": "resp_scripted"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "resp_scripted", "usage": usage}}),
    ];
    events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect()
}

fn completion() -> String {
    let chunk = |choice: Value| json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [choice]});
    let said = chunk(json!({"index": 0, "delta": {"role": "assistant", "content": ANSWER}, "finish_reason": null}));
    let mut end = chunk(json!({"index": 0, "delta": {}, "finish_reason": "stop"}));
    end["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13});
    format!("data: {said}\n\ndata: {end}\n\ndata: [DONE]\n\n")
}

/// All texts in a request, in order.
fn texts_in(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| texts_in(value, texts)),
        Value::Object(fields) => {
            let named = ["text", "content", "output", "arguments"];
            for (name, value) in fields {
                match value {
                    Value::String(text) if named.contains(&name.as_str()) => texts.push(text.clone()),
                    value => texts_in(value, texts),
                }
            }
        }
        _ => {}
    }
}

/// The entries in which Claude Code lists something for its own model, which no other is told: each is before the extension that says so.
fn listings(world: &World) -> Vec<(Value, u64)> {
    let all = world.pod(&["list", "--kind", "all", "--archived", "all", "--limit", "1000", "--json"]).json();
    let ids = all["sessions"].as_array().unwrap().iter().map(|row| row["session_id"].as_str().unwrap());
    let printed: String = ids.map(|id| world.pod(&["log", id, "--json"]).ok()).collect();
    let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_listing = |line: &Value| {
        let kind = line.pointer("/entry/payload/attachment/type").and_then(Value::as_str);
        kind.is_some_and(|kind| kind.ends_with("_listing") || kind.ends_with("_delta"))
    };
    lines.filter(is_listing).map(|line| (line["segment_id"].clone(), line["seq"].as_u64().unwrap() - 1)).collect()
}

fn goes_on(program: Program) {
    let Some(path) = program.find() else { return };
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("session-store/tests/samples");
    let world = World::new();
    let home = world.path().join(match program {
        Program::Codex => ".codex",
        Program::Pi => ".pi/agent",
    });
    std::fs::create_dir_all(&home).unwrap();
    std::fs::create_dir_all(world.path().join("work")).unwrap();
    let (port, requests) = model();
    program.configure(&home, port);
    world.pod(&["import", samples.to_str().unwrap(), "--json"]);
    let listings = listings(&world);
    for id in CONVERSATIONS {
        let arguments = ["export", id, "--to", program.agent(), "--install", "--cwd", "work", "--json"];
        let made = world.pod(&arguments).json();
        // What the model is to be given: the messages of the context, in order.
        let context = world.pod(&["show", id, "--context", "--json"]).json();
        let (ok, said) = program.resume(&path, &world, &home, made["native_id"].as_str().unwrap());
        assert!(ok && said.contains(ANSWER), "{id}: {said}");
        let asked: Vec<String> = requests.try_iter().collect();
        let asked = asked.iter().find(|request| request.contains(PROMPT)).unwrap_or_else(|| panic!("{id}: {said}"));
        let mut given = Vec::new();
        texts_in(&serde_json::from_str(asked).unwrap(), &mut given);
        let rows = context["messages"].as_array().unwrap();
        // What a compaction kept may stand before the summary in one form and behind it in another.
        let kept = rows.iter().rposition(|row| row["kind"] == "summary").map_or(0, |at| at + 1);
        let mut in_order = given.iter();
        for (at, row) in rows.iter().enumerate() {
            let (text, role) = (row["text"].as_str().unwrap().trim(), row["role"].as_str().unwrap());
            let place = (row["segment_id"].clone(), row["seq"].as_u64().unwrap_or_default());
            if text.is_empty() || role == "system" || row["kind"] == "reasoning" || listings.contains(&place) {
                continue;
            }
            let line = text.lines().last().unwrap();
            let is_sent = if at < kept {
                given.iter().any(|given| given.contains(line))
            } else {
                in_order.any(|given| given.contains(line))
            };
            assert!(is_sent, "{id}: {role}: {line:?} is not sent, or not in its place: {given:#?}");
        }
        // What it added is in the same conversation.
        let report = world
            .pod(&[
                "import",
                made["path"].as_str().unwrap().replace("[HOME]", world.path().to_str().unwrap()).as_str(),
                "--json",
            ])
            .json();
        assert_eq!(report["sessions"][0]["session_id"], made["session_id"], "{id}: {report}");
        assert_eq!(report["sessions"][0]["status"], "updated", "{id}: {report}");
        let shown = world.pod(&["show", made["session_id"].as_str().unwrap(), "--last", "2", "--json"]).json();
        let last: Vec<&str> =
            shown["messages"].as_array().unwrap().iter().filter_map(|row| row["text"].as_str()).collect();
        assert_eq!(last, [PROMPT, ANSWER], "{id}");
    }
    let verified = world.pod(&["verify", "--json"]).json();
    assert_eq!(verified["ok"], true);
    tell(&format!("RUN: the real {} went on with {} exported conversations", program.agent(), CONVERSATIONS.len()));
}

#[test]
fn the_real_codex_goes_on_with_exported_files() {
    goes_on(Program::Codex);
}

#[test]
fn the_real_pi_goes_on_with_exported_files() {
    goes_on(Program::Pi);
}
