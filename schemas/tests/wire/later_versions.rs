//! What later versions add is passed over by this one.

use flatbuffers::FlatBufferBuilder;
use schemas::frame::{self, Frame};
use schemas::header::{HEADER_BYTES, Header};
use schemas::kind::Kind;
use schemas::limits::FRAME_BYTES_MAX;
use schemas::message::{ErrorReply, RouteRequest};
use schemas::status::Status;

use super::samples;

#[test]
fn bytes_after_a_message_are_ignored() {
    for sample in samples::all() {
        let kind = sample.bytes[9];
        let body = &sample.bytes[HEADER_BYTES..];
        if body.is_empty() {
            continue;
        }
        let mut longer = body.to_vec();
        longer.extend_from_slice(b"a later field...");
        let decode =
            |body| samples::decode(&Frame { kind_byte: kind, header: Header::request(1), body });
        assert_eq!(decode(&longer), decode(body), "{}", sample.name);
    }
}

#[test]
fn fields_that_a_table_did_not_have_are_ignored_and_those_it_lacks_have_defaults() {
    // Slots 4 and 6 of a table are its first and second field; a request for the route has one.
    let mut builder = FlatBufferBuilder::new();
    let text = builder.create_string("news");
    let table = builder.start_table();
    builder.push_slot_always(6, text);
    builder.push_slot_always(4, 12u32);
    let root = builder.end_table(table);
    builder.finish_minimal(root);
    let read = RouteRequest::decode(builder.finished_data());
    assert_eq!(read, Ok(RouteRequest { epoch: 12 }));

    builder.reset();
    let table = builder.start_table();
    let root = builder.end_table(table);
    builder.finish_minimal(root);
    assert_eq!(RouteRequest::decode(builder.finished_data()), Ok(RouteRequest { epoch: 0 }));
}

#[test]
fn an_unknown_kind_leaves_the_stream_sound() {
    let mut bytes = Vec::new();
    for _ in 0..2 {
        frame::append(&Header::request(9), &Kind::Ping, &mut bytes);
    }
    bytes[9] = 0x3e;
    let crc = crc32c::crc32c(&bytes[8..HEADER_BYTES]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    let (frame, len) = frame::read(&bytes, FRAME_BYTES_MAX).expect("sound").expect("whole");
    assert_eq!(frame.kind(), Err(Status::UnknownKind));
    assert!(!Status::UnknownKind.closes());
    let (next, _) = frame::read(&bytes[len..], FRAME_BYTES_MAX).expect("sound").expect("whole");
    assert_eq!(next.kind(), Ok(Kind::Ping));
}

#[test]
fn another_version_is_told_apart_from_damage() {
    let mut bytes = Vec::new();
    frame::append(&Header::request(9), &Kind::Ping, &mut bytes);
    for version in [0, 2, 255] {
        bytes[8] = version;
        let error = frame::read(&bytes, FRAME_BYTES_MAX).expect_err("refused");
        assert_eq!((error.status, error.request_id), (Status::VersionUnsupported, 9));
    }
}

#[test]
fn an_error_of_a_later_version_says_what_to_do_with_it() {
    let header = Header { status: 250, ..Header::error(9, 1, Status::ShuttingDown, 7) };
    let read = ErrorReply::decode(&Frame { kind_byte: 0xff, header, body: &[] }).expect("sound");
    assert_eq!((read.status(), read.code), (None, 250));
    assert_eq!(read.retryable, Status::ShuttingDown.is_retryable());
    assert_eq!(read.applied, Status::ShuttingDown.applied());
}
