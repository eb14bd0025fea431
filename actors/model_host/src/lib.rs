//! Who is resident and who may run; engines travel to the blocking pool.
