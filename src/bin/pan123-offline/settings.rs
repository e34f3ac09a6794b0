//! Settings: from options, then the environment, then the configuration file.

use std::env::{self, VarError};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use pan123_offline::{Client, ClientBuilder, Credentials};
use serde::Deserialize;

use crate::args::Common;
use crate::failure::{Failure, usage};

/// The folder of this program within the user's folders.
const FOLDER: &str = "pan123-offline";
/// The maximum size of a token file and a configuration file, in bytes.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// Settings from one source. A login is taken from one source as a whole.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    access_token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    token_cache: Option<PathBuf>,
    base_url: Option<String>,
}

/// The means by which requests are authorised.
pub(crate) enum Login {
    Token(String),
    Credentials {
        id: String,
        secret: String,
        cache: PathBuf,
    },
}

pub(crate) struct ResolvedSettings {
    pub(crate) login: Login,
    base_url: Option<String>,
}

impl ResolvedSettings {
    pub(crate) fn resolve(options: &Common) -> Result<Self, Failure> {
        let sources = [
            Settings::from_options(options)?,
            Settings::from_environment()?,
            Settings::from_file(options)?,
        ];
        let cache = sources.iter().find_map(|source| source.token_cache.clone());
        let base_url = sources.iter().find_map(|source| source.base_url.clone());
        for source in sources {
            if let Some(login) = source.login(&cache)? {
                return Ok(Self { login, base_url });
            }
        }
        Err(usage(
            "there is no access token: set PAN123_ACCESS_TOKEN, or PAN123_CLIENT_ID and PAN123_CLIENT_SECRET, or give \
             --token-file; the open platform of 123pan issues client id and secret",
        ))
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = match &self.login {
            Login::Token(token) => Client::builder().access_token(token.as_str()),
            Login::Credentials { id, secret, cache } => {
                Client::builder().credentials(Credentials::new(id, secret).cache_file(cache))
            }
        };
        match &self.base_url {
            Some(url) => builder.base_url(url),
            None => builder,
        }
    }
}

impl Settings {
    fn from_options(options: &Common) -> Result<Self, Failure> {
        let access_token = options.token_file.as_deref().map(read_token).transpose()?;
        Ok(Self {
            access_token,
            token_cache: options.token_cache.clone(),
            base_url: options.base_url.clone(),
            ..Self::default()
        })
    }

    fn from_environment() -> Result<Self, Failure> {
        Ok(Self {
            access_token: variable("PAN123_ACCESS_TOKEN")?,
            client_id: variable("PAN123_CLIENT_ID")?,
            client_secret: variable("PAN123_CLIENT_SECRET")?,
            token_cache: variable("PAN123_TOKEN_CACHE")?.map(PathBuf::from),
            base_url: variable("PAN123_BASE_URL")?,
        })
    }

    /// Reads the file that was named, or the default one, which may be absent.
    fn from_file(options: &Common) -> Result<Self, Failure> {
        let named = match &options.config {
            Some(path) => Some(path.clone()),
            None => variable("PAN123_CONFIG")?.map(PathBuf::from),
        };
        let default =
            || folders().map(|folders| folders.config_dir().join(FOLDER).join("config.json"));
        let must_exist = named.is_some();
        let Some(path) = named.or_else(default) else {
            return Ok(Self::default());
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(usage(format!(
                    "the configuration file {}: {error}",
                    path.display()
                )));
            }
        };
        check_owner_only(&path, &file)?;
        let text = read(&path, file)?;
        // What serde quotes might be the token, so it is told where the fault is, not what stands there.
        serde_json::from_slice(&text).map_err(|error| {
            let what = if error.is_data() {
                "an unknown field, or a value that is no text"
            } else {
                "no JSON"
            };
            let (line, column) = (error.line(), error.column());
            usage(format!(
                "the configuration file {}, line {line}, column {column}: {what}",
                path.display()
            ))
        })
    }

    fn login(self, cache: &Option<PathBuf>) -> Result<Option<Login>, Failure> {
        match (self.access_token, self.client_id, self.client_secret) {
            (Some(token), _, _) => Ok(Some(Login::Token(token))),
            (None, Some(id), Some(secret)) => {
                let cache = cache.clone().map_or_else(default_cache, Ok)?;
                Ok(Some(Login::Credentials { id, secret, cache }))
            }
            (None, Some(_), None) => Err(usage(
                "there is a client id, but no client secret beside it",
            )),
            (None, None, Some(_)) => Err(usage(
                "there is a client secret, but no client id beside it",
            )),
            (None, None, None) => Ok(None),
        }
    }
}

/// The user's own folders, as the system has them.
fn folders() -> Option<impl BaseStrategy> {
    choose_native_strategy().ok()
}

/// Without a cache each run would have a token issued, and the service keeps three.
fn default_cache() -> Result<PathBuf, Failure> {
    let folder = folders()
        .ok_or_else(|| {
            usage("this user has no cache folder; say where the token is kept by --token-cache")
        })?
        .cache_dir()
        .join(FOLDER);
    fs::create_dir_all(&folder)
        .map_err(|error| usage(format!("the folder {}: {error}", folder.display())))?;
    Ok(folder.join("token"))
}

/// An empty variable counts as none.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(usage(format!("{name} is not UTF-8"))),
    }
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let file = File::open(path)
        .map_err(|error| usage(format!("the token file {}: {error}", path.display())))?;
    let text = String::from_utf8(read(path, file)?);
    let text =
        text.map_err(|_| usage(format!("the token file {} is not UTF-8", path.display())))?;
    // An editor ends the line.
    Ok(text.trim().to_owned())
}

fn read(path: &Path, file: File) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE_LEN + 1).read_to_end(&mut bytes);
    read.map_err(|error| usage(format!("{}: {error}", path.display())))?;
    if bytes.len() as u64 > MAX_FILE_LEN {
        return Err(usage(format!("{} is longer than 64 KiB", path.display())));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn check_owner_only(path: &Path, file: &File) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;

    let others = file
        .metadata()
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if others {
        let path = path.display();
        return Err(usage(format!(
            "others may read the configuration file {path}, and a token may be in it: chmod 600 {path}"
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner_only(_: &Path, _: &File) -> Result<(), Failure> {
    Ok(())
}
