//! [`Chance`]: the generator that is given, as the trait that foca asks for.

use std::convert::Infallible;

use rand_core::TryRng;

/// All of a machine's chance: seeded by whoever made the machine.
#[derive(Clone, Debug)]
pub(super) struct Chance(pub(super) fastrand::Rng);

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.u32(..))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.u64(..))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}
