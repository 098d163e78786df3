//! The clients against a server that does what a test wants, wrong things too.

mod client {
    mod blocking;
    mod cluster;
    mod failures;
    mod operations;
    mod server;
}
