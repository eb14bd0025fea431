//! `vec_distance_cosine` and its kin come from sqlite-vec, a C library that is given one connection at a time; nothing is
//! registered for the whole process, so an app that embeds us keeps its own connections as they were.

use std::ffi::{c_char, c_int};

use rusqlite::{Connection, Error, ffi};

/// How every extension of SQLite is entered.
type Entry = unsafe extern "C" fn(
    *mut ffi::sqlite3,
    *mut *mut c_char,
    *const ffi::sqlite3_api_routines,
) -> c_int;

/// Gives this connection the functions on vectors.
///
/// # Errors
/// What SQLite says if it has no memory for them.
#[allow(
    unsafe_code,
    reason = "the binding declares the library's entry without its parameters, and rusqlite's safe ways load files"
)]
pub(crate) fn add_to(connection: &Connection) -> Result<(), Error> {
    // SAFETY: `sqlite3_vec_init` is C's `int (sqlite3*, char**, const sqlite3_api_routines*)`; the binding says only
    // `fn()`. The connection outlives the call. The library was compiled into this SQLite (`SQLITE_CORE`), so it reads
    // neither the table of routines nor, without an error text to write, the second argument.
    let code = unsafe {
        let entry: Entry = std::mem::transmute(sqlite_vec::sqlite3_vec_init as *const ());
        entry(connection.handle(), std::ptr::null_mut(), std::ptr::null())
    };
    if code == ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(Error::SqliteFailure(ffi::Error::new(code), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_measures_angles_once_it_is_told_how() {
        let bare = Connection::open_in_memory().unwrap();
        let measure = "SELECT vec_distance_cosine(vec_f32('[1, 0]'), vec_f32('[0, 2]'))";
        let ask =
            |connection: &Connection| connection.query_row(measure, [], |row| row.get::<_, f64>(0));
        assert!(ask(&bare).is_err());
        add_to(&bare).unwrap();
        assert!((ask(&bare).unwrap() - 1.0).abs() < 1e-6);
        // The other connections of the process are left alone.
        assert!(ask(&Connection::open_in_memory().unwrap()).is_err());
    }
}
