//! The bug that both worlds have on demand, and how it is kept off the terminal.

const BUG: &str = "the bug the bench asked for";

/// What our actors say of a fault on purpose.
const CHAOS: &str = "chaos";

/// The bug.
#[allow(clippy::panic, reason = "the panic is what is measured")]
pub(crate) fn bug() -> ! {
    std::panic::panic_any(BUG)
}

/// From now on no bug that was asked for is printed: what becomes of it is told by the table.
pub(crate) fn hush() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said != BUG && !said.contains(CHAOS) && !said.contains("scripted panic") {
            print(panic);
        }
    }));
}
