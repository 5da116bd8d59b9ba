//! Which country a visitor comes from: by a trusted proxy's header, or by a MaxMind-format
//! database that is read again when its file changes.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderName;
use arc_swap::ArcSwapOption;
use maxminddb::{MaxMindDbError, PathElement, Reader};

/// Between looks at the database's file.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error(
    "the geo database {path} cannot be used: {reason}; name a MaxMind-format file such as GeoLite2-Country.mmdb"
)]
pub struct GeoError {
    path: String,
    reason: String,
}

/// Where countries come from; both may be unset, and then there are none.
#[derive(Default)]
pub struct Countries {
    header: Option<HeaderName>,
    path: Option<PathBuf>,
    database: ArcSwapOption<Database>,
}

struct Database {
    reader: Reader<Vec<u8>>,
    state: FileState,
}

/// What changes when a file does: device and inode where it is replaced, the rest where it is
/// written over.
type FileState = (u64, u64, u64, i64, i64);

impl Countries {
    /// Reads the database, if there is one; it is kept in memory whole (a country database has
    /// a few megabytes). Mapped, a file cut short by its updater would kill the process.
    pub fn open(header: Option<HeaderName>, path: Option<PathBuf>) -> Result<Self, GeoError> {
        let countries = Self { header, path, database: ArcSwapOption::empty() };
        countries.refresh()?;
        Ok(countries)
    }

    pub fn header(&self) -> Option<&HeaderName> {
        self.header.as_ref()
    }

    /// Reads the file again if it has changed, and says whether it had. While what is there
    /// cannot be read, the database read before stays in use.
    pub fn refresh(&self) -> Result<bool, GeoError> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let failed = |reason: String| GeoError { path: path.display().to_string(), reason };
        let mut file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
        let state = (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if self.database.load().as_ref().is_some_and(|known| known.state == state) {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
        let reader = Reader::from_source(bytes).map_err(|error: MaxMindDbError| failed(error.to_string()))?;
        self.database.store(Some(Arc::new(Database { reader, state })));
        Ok(true)
    }

    /// The country by the proxy's word (`None` where there is no proxy to believe), else by the
    /// database: ISO 3166-1 alpha-2 in upper case, or empty.
    pub fn of(&self, ip: Option<IpAddr>, proxys_word: Option<&str>) -> String {
        proxys_word.and_then(country_code).or_else(|| country_code(&self.looked_up(ip?)?)).unwrap_or_default()
    }

    fn looked_up(&self, ip: IpAddr) -> Option<String> {
        let database = self.database.load();
        let found = database.as_ref()?.reader.lookup(ip).ok()?;
        // MaxMind and DB-IP; MaxMind where only the owner's country is known; IPinfo, new and old.
        let paths: [&[PathElement]; 4] = [
            &[PathElement::Key("country"), PathElement::Key("iso_code")],
            &[PathElement::Key("registered_country"), PathElement::Key("iso_code")],
            &[PathElement::Key("country_code")],
            &[PathElement::Key("country")],
        ];
        paths.iter().find_map(|path| found.decode_path::<String>(path).ok().flatten())
    }
}

/// Reads the database again whenever its file changes. Ends with its thread.
pub fn watch(countries: Arc<Countries>) {
    if countries.path.is_none() {
        return;
    }
    actix::spawn(async move {
        let mut was_well = true;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looking = countries.clone();
            let result = tokio::task::spawn_blocking(move || looking.refresh()).await;
            match &result {
                Ok(Ok(true)) => tracing::info!("the geo database has changed and was read again"),
                Ok(Err(error)) if was_well => {
                    tracing::warn!(%error, "the geo database read before stays in use")
                }
                _ => {}
            }
            was_well = matches!(result, Ok(Ok(_)));
        }
    });
}

/// Two letters, but for what proxies say of visitors they cannot place (`XX`, `ZZ`; Tor is `T1`).
fn country_code(text: &str) -> Option<String> {
    let code = text.trim().to_ascii_uppercase();
    let is_code = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_code && code != "XX" && code != "ZZ").then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_two_letters_and_a_country() {
        assert_eq!(country_code(" de "), Some("DE".into()));
        for none in ["", "D", "DEU", "T1", "XX", "zz", "д"] {
            assert_eq!(country_code(none), None, "{none}");
        }
    }

    #[test]
    fn without_a_database_there_is_no_country() {
        let countries = Countries::default();
        assert_eq!(countries.of("192.0.2.1".parse().ok(), None), "");
        assert_eq!(countries.of(None, Some("fr")), "FR");
        assert!(!countries.refresh().unwrap());
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Countries::open(None, Some(file.path().to_owned())).err().unwrap().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
