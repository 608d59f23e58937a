//! An agent's loop in an async runtime: what happens is handed to the writer, and nothing in the loop waits for a disk.
//!
//! `cargo run -p session-store --example writer -- fs:FOLDER` keeps what it wrote in a folder; without a URL it is gone with the program.
#![expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_lite::{StreamExt as _, future, stream};
use session_store::{Clock, NewSegment, OpenOptions, SegmentState, SessionWriter, WriterOptions, create_segment, open};
use store_core::{Item, ItemEntry, LogEntry, Part, Role, UserInput};

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let store = open(&url, &OpenOptions::at(now()))?;
    let at = create_segment(&*store, now(), NewSegment::default())?;
    let state = SegmentState::open(&*store, at)?;
    let writer = SessionWriter::start(store, state, WriterOptions::new("example", Clock::new(now)))?;

    future::block_on(async {
        let mut prompts = stream::iter(["Why is the build red?", "Fix it."]);
        while let Some(prompt) = prompts.next().await {
            let content = vec![Part::text(prompt)];
            let asked = writer.submit(LogEntry::UserInput(UserInput { ts: now(), content }))?;
            // The model may be asked while the prompt is on its way to the disk.
            let (landed, answer) = future::zip(asked, ask_model(prompt)).await;
            println!("{prompt} is entry {} of segment {}", landed?.position, writer.location().segment_id);
            let item = Item::message(Role::Assistant, answer);
            writer.submit(LogEntry::AssistantItem(ItemEntry { ts: now(), item }))?;
            writer.submit_turn_end(now())?;
        }
        let safe = writer.flush().await?;
        println!("everything up to {} is on stable storage", safe.position);
        Ok::<(), Box<dyn Error>>(())
    })?;
    writer.close()?;
    Ok(())
}

async fn ask_model(prompt: &str) -> String {
    future::yield_now().await;
    format!("You said: {prompt}")
}
