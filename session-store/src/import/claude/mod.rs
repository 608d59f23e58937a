//! Claude Code: `projects/<folder>/<session>.jsonl` and what lies in the folder of the same name.
//!
//! Lines with a `uuid` are the transcript, chained by `parentUuid`; lines without one tell about it. A response is several
//! lines, one for each block, which repeat its usage. A resumed conversation goes on in the same file, a forked one begins
//! a new file with copies, a rewound one goes on behind an older line.
//!
//! * [`head`] tells what a file is from its first records.
//! * [`ClaudeReader`] turns records into steps; lines that tell about the transcript are read by `about`, what a message holds by
//!   `content`, outputs that lie in files of their own by `output`, what is left of a record by `rest`.
//! * `sidechain` tells sub-agents apart whose records stand among the others.

mod about;
mod content;
mod head;
mod output;
mod place;
mod reader;
mod rest;
mod sidechain;
mod typed;

pub(super) use head::{head, sniff, tells_head};
pub(super) use output::DOMAIN as OUTPUT_DOMAIN;
pub(super) use reader::ClaudeReader;
pub(super) use sidechain::{Threads, is_sidechain, may_be_sidechain};
