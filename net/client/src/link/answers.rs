//! Replies, copied out of the received bytes into answers that own theirs.

use bytes::Bytes;

use crate::error::Error;
use crate::protocol::{GetReply, KeyResult, Reply, ServerInfo, Status, Version};
use crate::read_path::Entry;
use crate::request::Answer;
use crate::scan::{Page, Position, Record};
use crate::session::Session;
use crate::write_path::Written;

/// The answer that a reply means.
pub(super) fn answer(
    reply: Reply<'_>,
    server: &ServerInfo,
    session: &Session,
) -> Result<Answer, Error> {
    Ok(match reply {
        Reply::Get(reply) => Answer::Get(entry(&reply, session)?),
        Reply::MultiGet(reply) => {
            Answer::MultiGet(reply.results().map(|result| key_entry(&result, session)).collect())
        }
        Reply::Scan(page) => Answer::Scan(Page {
            records: page
                .records()
                .map(|record| Record {
                    key: Bytes::copy_from_slice(record.key),
                    value: Bytes::copy_from_slice(record.value),
                    version: record.version,
                    expires_at_ms: Some(record.expires_at_ms).filter(|at| *at != 0),
                })
                .collect(),
            next: page.next.map(|next| Position {
                token: next.token,
                after_key: Bytes::copy_from_slice(next.after_key),
            }),
        }),
        Reply::Put(reply) | Reply::Delete(reply) => {
            session.saw(reply.version);
            Answer::Written(Written {
                version: reply.version,
                context: Bytes::copy_from_slice(reply.context),
            })
        }
        Reply::Route(route) => Answer::Route(route, Box::new(server.clone())),
        Reply::Error(error) => return Err(Error::reply(&error)),
        Reply::Pong => return Err(Error::protocol("a pong that nobody waits for")),
    })
}

fn entry(reply: &GetReply<'_>, session: &Session) -> Result<Option<Entry>, Error> {
    let parts = Parts {
        found: reply.found,
        version: reply.version,
        expires_at_ms: reply.expires_at_ms,
        context: reply.context,
        value: reply.value,
    };
    parts.entry(session)
}

fn key_entry(result: &KeyResult<'_>, session: &Session) -> Result<Option<Entry>, Error> {
    if result.status != Status::Ok as u8 {
        let status = Status::from_byte(result.status);
        return Err(status.map_or_else(
            || Error::protocol(format!("a key was refused with code {}", result.status)),
            Error::refused,
        ));
    }
    let parts = Parts {
        found: result.found,
        version: result.version,
        expires_at_ms: result.expires_at_ms,
        context: &[],
        value: result.value,
    };
    parts.entry(session)
}

struct Parts<'a> {
    found: bool,
    version: Option<Version>,
    expires_at_ms: u64,
    context: &'a [u8],
    value: &'a [u8],
}

impl Parts<'_> {
    fn entry(&self, session: &Session) -> Result<Option<Entry>, Error> {
        if let Some(version) = self.version {
            session.saw(version);
        }
        if !self.found {
            return Ok(None);
        }
        let version = self.version;
        Ok(Some(Entry {
            value: Bytes::copy_from_slice(self.value),
            version: version.ok_or_else(|| Error::protocol("a value without a version"))?,
            expires_at_ms: Some(self.expires_at_ms).filter(|at| *at != 0),
            context: Bytes::copy_from_slice(self.context),
        }))
    }
}
