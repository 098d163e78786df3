//! Tables: verified once with tight limits, then read in place.

use flatbuffers::{FlatBufferBuilder, Follow, Verifiable, VerifierOptions};

use crate::frame::{self, Message};
use crate::header::Header;
use crate::kind::Kind;
use crate::limits::{FRAME_BYTES_MAX, NAME_BYTES_MAX, TABLE_DEPTH_MAX, TABLES_MAX};
use crate::status::Status;

/// The table that fills `body`, structure and UTF-8 verified.
pub(crate) fn read<'a, T>(body: &'a [u8]) -> Result<T::Inner, Status>
where
    T: Follow<'a> + Verifiable + 'a,
{
    let options = VerifierOptions {
        max_depth: TABLE_DEPTH_MAX,
        max_tables: TABLES_MAX,
        max_apparent_size: FRAME_BYTES_MAX,
        ignore_missing_null_terminator: false,
    };
    flatbuffers::root_with_opts::<T>(&options, body).map_err(|_| Status::MalformedBody)
}

/// A name within its limit; empty where the table has none.
pub(crate) fn name(text: Option<&str>) -> Result<&str, Status> {
    let text = text.unwrap_or_default();
    if text.len() > NAME_BYTES_MAX { Err(Status::MalformedBody) } else { Ok(text) }
}

/// Appends the frame of a finished table.
pub(crate) fn append(
    header: &Header,
    kind: Kind,
    builder: &FlatBufferBuilder<'_>,
    out: &mut Vec<u8>,
) {
    frame::append(header, &Finished { kind, body: builder.finished_data() }, out);
}

struct Finished<'a> {
    kind: Kind,
    body: &'a [u8],
}

impl Message for Finished<'_> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn body_len(&self) -> usize {
        self.body.len()
    }

    fn write_body(&self, out: &mut [u8]) {
        out.copy_from_slice(self.body);
    }
}
