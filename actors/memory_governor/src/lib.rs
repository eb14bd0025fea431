//! One ledger of byte leases.
