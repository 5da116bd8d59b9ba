//! The data files of one folder, compiled in: read, and found by their system's name.

use serde::de::DeserializeOwned;

/// What every preset has.
pub(super) trait Preset: DeserializeOwned {
    /// The folder its files are in.
    const FOLDER: &'static str;

    /// Its name, by which it is chosen.
    fn system(&self) -> &str;
}

/// Names without `.toml`, and contents.
pub(super) type Files = &'static [(&'static str, &'static str)];

macro_rules! files {
    ($folder:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!($folder, "/", $file, ".toml")))),+]
    };
}
pub(super) use files;

/// Files that are compiled in and cannot be read are a fault that every test run finds.
pub(super) fn read<P: Preset>(files: Files) -> Vec<P> {
    let read = |(file, text): &(&str, &str)| {
        toml::from_str(text).unwrap_or_else(|error| panic!("presets/{}/{file}.toml: {error}", P::FOLDER))
    };
    files.iter().map(read).collect()
}

/// The preset of a system, whatever its case.
pub(super) fn of<'a, P: Preset>(presets: &'a [P], system: &str) -> Option<&'a P> {
    presets.iter().find(|preset| preset.system().eq_ignore_ascii_case(system.trim()))
}

#[cfg(test)]
pub(super) fn assert_all_are_listed<P: Preset>(files: Files) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/presets").join(P::FOLDER);
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut there: Vec<String> = names.map(|name| name.into_string().unwrap().replace(".toml", "")).collect();
    there.sort();
    let mut listed: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
    listed.sort_unstable();
    assert_eq!(listed, there);
}
