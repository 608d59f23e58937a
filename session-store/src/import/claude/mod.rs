//! Claude Code: `projects/<folder>/<session>.jsonl` and what lies in the folder of the same name.
//!
//! Lines with a `uuid` are the transcript, chained by `parentUuid`; lines without one tell about it. A response is several
//! lines, one for each block, which repeat its usage. A resumed conversation goes on in the same file, a forked one begins
//! a new file with copies, a rewound one goes on behind an older line.
//!
//! * [`head`] tells what a file is from its first records.
//! * [`ClaudeReader`] turns records into steps; what a message holds is read by `content`, outputs that lie in files
//!   of their own by `output`.

mod content;
mod head;
mod output;
mod reader;
mod typed;

pub(super) use head::{head, sniff};
pub(super) use output::DOMAIN as OUTPUT_DOMAIN;
pub(super) use reader::ClaudeReader;
