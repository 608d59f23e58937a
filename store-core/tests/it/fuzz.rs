//! The codec on lines that nobody vouches for. The bodies are those of the fuzz targets.

#[path = "../../../fuzz/bodies/bounded.rs"]
mod bounded;
#[path = "../../../fuzz/bodies/codec.rs"]
mod codec;

#[test]
fn any_line_is_refused_or_is_what_the_codec_writes() {
    bounded::run("codec_line", 20_000, codec::line);
}

#[test]
fn any_end_of_a_log_is_told_apart() {
    bounded::run("codec_tail", 20_000, codec::tail);
}
