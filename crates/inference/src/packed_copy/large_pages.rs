//! Whether mapped bytes of a file lie on large pages, as the system tells.

use std::hint::black_box;

use super::BLOCK;
use crate::cpu::View;

/// Whether three quarters do or more.
pub(super) fn hold(view: &View) -> bool {
    // Mapped is what was looked at.
    let firsts = view.iter().step_by(BLOCK);
    black_box(firsts.fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    let from = view.as_ptr().addr();
    // Other mappings may have any name.
    let told = std::fs::read("/proc/self/smaps").unwrap_or_default();
    let held = held_at(&String::from_utf8_lossy(&told), from);
    held.is_some_and(|held| held >= view.len() as u64 / 4 * 3)
}

/// Bytes on large pages of files in the mapping that begins at `from`, of such a list as `/proc/self/smaps` is.
fn held_at(smaps: &str, from: usize) -> Option<u64> {
    let begins = format!("{from:x}-");
    let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&begins));
    lines.next()?;
    let fields =
        lines.take_while(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    let mut fields = fields.filter_map(|line| line.strip_prefix("FilePmdMapped:"));
    let kib = fields.next()?.trim().strip_suffix(" kB")?;
    kib.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f2300000000-7f2305db0000 r--s 00000000 fe:00 131 /c/a.packed
Size:              96064 kB
FilePmdMapped:     94208 kB
VmFlags: rd mr me ms hg
7f2305db0000-7f2305dc0000 r--p 00000000 fe:00 132 /lib/libm.so
Size:                 64 kB
7f2306000000-7f2306010000 rw-p 00000000 00:00 0
Size:                 64 kB
FilePmdMapped:         0 kB
";

    #[test]
    fn what_the_system_tells_of_one_mapping() {
        for (from, held) in [
            (0x7f23_0000_0000, Some(94_208 << 10)),
            (0x7f23_05db_0000, None),
            (0x7f23_0600_0000, Some(0)),
            (0x7f23_0700_0000, None),
        ] {
            assert_eq!(held_at(SMAPS, from), held, "{from:x}");
        }
    }
}
