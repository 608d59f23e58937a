//! What a person sees: styles, tables, times, ids and cleaned text. Pure: a width, a clock and a theme come in, text
//! goes out.

mod conversation;
mod id;
mod json;
mod number;
mod table;
mod text;
mod theme;
mod time;

pub(crate) use conversation::{ConversationStyle, Tools, write_conversation};
pub(crate) use id::{SHORT_ID_CELLS, short_id};
pub(crate) use json::EscapeControls;
pub(crate) use number::thousands;
pub(crate) use table::{Cell, Column, Table};
pub(crate) use text::{clean, one_line, truncate, truncate_front, width};
pub(crate) use theme::Theme;
pub(crate) use time::{clock, parse_as_of, parse_clock, parse_since, parse_since_in, relative, rfc3339, rfc3339_us};
