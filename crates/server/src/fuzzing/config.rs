use crate::config::Sources;

/// A file of settings is refused with a reason, or what is printed of it reads back as the same settings.
pub fn config(bytes: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(bytes) else { return 0 };
    // A setting may name a file, and not every file ends.
    if text.contains("/dev") || text.contains("/proc") {
        return 0;
    }
    match Sources::new().text("throng.toml", text).load() {
        Ok(loaded) => {
            let printed = loaded.to_toml();
            // Secrets and what they come from are not printed.
            if text.contains("_file") || text.contains("secret") || text.contains("key") {
                return 1;
            }
            let again = Sources::new().text("throng.toml", printed.clone()).load();
            let again = again.unwrap_or_else(|faults| panic!("{printed}\n{faults}"));
            assert_eq!(again.settings(), loaded.settings(), "{printed}");
            1
        }
        Err(faults) => {
            assert!(!faults.to_string().is_empty(), "settings were refused without a reason");
            0
        }
    }
}
