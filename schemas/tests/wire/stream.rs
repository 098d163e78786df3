//! A stream may be cut anywhere; lengths and checksums decide before anything is kept.

use schemas::decoder::Decoder;
use schemas::frame::{self, FrameError};
use schemas::header::{HEADER_BYTES, Header};
use schemas::kind::Kind;
use schemas::limits::FRAME_BYTES_MAX;
use schemas::status::Status;

use super::samples;

type Seen = Vec<(u8, Header, Vec<u8>)>;

fn feed(decoder: &mut Decoder, mut input: &[u8], seen: &mut Seen) -> Result<(), FrameError> {
    while let Some(frame) = decoder.next(&mut input)? {
        seen.push((frame.kind_byte, frame.header, frame.body.to_vec()));
    }
    assert!(input.is_empty(), "all input is taken");
    Ok(())
}

fn stream() -> Vec<u8> {
    samples::all().into_iter().flat_map(|sample| sample.bytes).collect()
}

fn whole() -> Seen {
    let mut seen = Seen::new();
    feed(&mut Decoder::new(), &stream(), &mut seen).expect("sound");
    assert_eq!(seen.len(), samples::all().len());
    seen
}

#[test]
fn a_stream_split_at_each_byte_gives_the_same_frames() {
    let (stream, whole) = (stream(), whole());
    for at in 0..=stream.len() {
        let (mut decoder, mut seen) = (Decoder::new(), Seen::new());
        feed(&mut decoder, &stream[..at], &mut seen).expect("sound");
        feed(&mut decoder, &stream[at..], &mut seen).expect("sound");
        assert_eq!(seen, whole, "split at {at}");
        assert_eq!(decoder.held(), 0);
    }
}

#[test]
fn a_stream_in_pieces_of_any_size_gives_the_same_frames() {
    let (stream, whole) = (stream(), whole());
    for size in (1..80).chain([333, 4096]) {
        let (mut decoder, mut seen) = (Decoder::new(), Seen::new());
        for piece in stream.chunks(size) {
            feed(&mut decoder, piece, &mut seen).expect("sound");
        }
        assert_eq!(seen, whole, "pieces of {size}");
    }
}

#[test]
fn a_frame_cut_short_at_any_byte_is_waited_for() {
    for sample in samples::all() {
        for len in 0..sample.bytes.len() {
            let (mut decoder, mut seen) = (Decoder::new(), Seen::new());
            feed(&mut decoder, &sample.bytes[..len], &mut seen).expect("sound so far");
            assert!(seen.is_empty(), "{} cut at {len}", sample.name);
            assert_eq!(decoder.held(), len);
        }
    }
}

#[test]
fn a_flipped_bit_is_never_taken_for_a_frame() {
    for sample in samples::all() {
        for at in 0..sample.bytes.len() {
            for bit in 0..8 {
                let mut bytes = sample.bytes.clone();
                bytes[at] ^= 1 << bit;
                let mut seen = Seen::new();
                let result = feed(&mut Decoder::new(), &bytes, &mut seen);
                assert!(seen.is_empty(), "{} byte {at} bit {bit}", sample.name);
                // A longer length waits for bytes that never come; all else is noticed at once.
                let waits = at < 4 && result.is_ok();
                let refused = result.is_err_and(|error| error.status.closes());
                assert!(waits || refused, "{} byte {at} bit {bit}", sample.name);
            }
        }
    }
}

fn header_claiming(body_len: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&Header::request(77), &Kind::Ping, &mut bytes);
    bytes[..4].copy_from_slice(&body_len.to_le_bytes());
    bytes
}

#[test]
fn a_length_past_the_limit_is_refused_on_the_header_alone() {
    let max = u32::try_from(FRAME_BYTES_MAX - HEADER_BYTES).expect("small");
    for body_len in [max + 1, max + 8, 1 << 31, (1 << 31) - 1, u32::MAX, u32::MAX - 7] {
        let expected = FrameError { status: Status::FrameTooLarge, request_id: 77 };
        for split in 0..HEADER_BYTES {
            let bytes = header_claiming(body_len);
            let (mut decoder, mut seen) = (Decoder::new(), Seen::new());
            feed(&mut decoder, &bytes[..split], &mut seen).expect("no header yet");
            let refused = feed(&mut decoder, &bytes[split..], &mut seen);
            assert_eq!(refused, Err(expected), "{body_len} split at {split}");
            assert!(decoder.held() <= HEADER_BYTES, "nothing of the body is kept");
        }
    }
    for body_len in [8, max] {
        let (mut decoder, mut seen) = (Decoder::new(), Seen::new());
        feed(&mut decoder, &header_claiming(body_len), &mut seen).expect("allowed");
        assert_eq!((decoder.held(), seen.len()), (HEADER_BYTES, 0));
    }
}

#[test]
fn a_length_that_is_no_multiple_of_eight_is_refused() {
    for body_len in [1, 7, 9, 1023] {
        let refused = feed(&mut Decoder::new(), &header_claiming(body_len), &mut Seen::new());
        assert_eq!(refused.map_err(|error| error.status), Err(Status::FrameCorrupt));
    }
}

#[test]
fn frames_of_the_greatest_size_pass() {
    struct Zeros(usize);
    impl frame::Message for Zeros {
        fn kind(&self) -> Kind {
            Kind::Put
        }
        fn body_len(&self) -> usize {
            self.0
        }
        fn write_body(&self, out: &mut [u8]) {
            out.fill(0);
        }
    }
    let mut bytes = Vec::new();
    frame::append(&Header::request(1), &Zeros(FRAME_BYTES_MAX - HEADER_BYTES), &mut bytes);
    assert_eq!(bytes.len(), FRAME_BYTES_MAX);
    let (mut decoder, mut seen) = (Decoder::new(), Seen::new());
    feed(&mut decoder, &bytes[..100_000], &mut seen).expect("sound");
    assert!((100_000..=200_000).contains(&decoder.memory()), "what arrived, not what is claimed");
    for piece in bytes[100_000..].chunks(100_000) {
        feed(&mut decoder, piece, &mut seen).expect("sound");
    }
    assert_eq!(decoder.memory(), 0, "a large frame leaves nothing behind");
    feed(&mut decoder, &bytes, &mut seen).expect("sound");
    assert_eq!(seen.len(), 2);
}

#[test]
fn what_is_no_kvcore_stream_is_refused() {
    let strangers: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: localhost:7400\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client hello goes on",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    ];
    for stranger in strangers {
        let refused = feed(&mut Decoder::new(), stranger, &mut Seen::new());
        assert!(refused.is_err_and(|error| error.status.closes()));
    }
}
