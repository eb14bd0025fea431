//! What a message is called in work labels and logs.

/// A type's name without its path and what it is generic over.
pub(crate) fn short_name<M>() -> &'static str {
    let name = std::any::type_name::<M>();
    let plain = name.split_once('<').map_or(name, |(plain, _)| plain);
    plain.rsplit("::").next().unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_neither_path_nor_parameters() {
        assert_eq!(short_name::<u64>(), "u64");
        assert_eq!(short_name::<std::time::Duration>(), "Duration");
        assert_eq!(short_name::<Option<std::time::Duration>>(), "Option");
    }
}
