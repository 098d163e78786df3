//! What is seen while runs go on: on stderr, and only on a terminal.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps; one that only turns if it is not known how many; nothing but on a
/// terminal.
///
/// # Panics
/// Never: the templates are constants.
pub(super) fn bar(steps: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match steps {
        Some(steps) => {
            (ProgressBar::new(steps), "{wide_bar} {human_pos} of {human_len}  {eta}  {msg}")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos}  {elapsed}  {msg}"),
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(ProgressStyle::with_template(template).expect("the template is a constant"))
}
