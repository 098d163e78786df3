//! What the wire promises, checked on bytes.

mod wire {
    mod round_trip;
}
