//! Resident memory of this process, as the kernel counts it.

use crate::peer::Failure;

/// `VmRSS` of `/proc/self/status`, in bytes. Linux only.
pub(crate) async fn resident_bytes() -> Result<f64, Failure> {
    let status = tokio::fs::read_to_string("/proc/self/status").await?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = kib.ok_or("no VmRSS in /proc/self/status")?.parse()?;
    Ok(kib * 1024.0)
}
