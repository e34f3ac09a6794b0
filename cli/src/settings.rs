//! Settings: from options, then the environment, then the configuration file.

use std::env::{self, VarError};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use pan123_offline::{Client, ClientBuilder, Credentials};
use serde::Deserialize;

use crate::args::Common;
use crate::failure::{Failure, usage};

/// The folder of this program within the user's folders.
const FOLDER: &str = "pan123-offline";
const DEFAULT_BASE_URL: &str = "https://open-api.123pan.com";
/// The maximum size of a file with settings, in bytes.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// Settings from one source. A login is taken from one source as a whole.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    access_token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    token_cache: Option<PathBuf>,
    base_url: Option<String>,
}

/// The means by which requests are authorised.
pub(crate) enum Login {
    /// A token, with its client id if it is that of the cache, which `pan123-offline login` has filled.
    Token {
        token: String,
        client_id: Option<String>,
    },
    Credentials {
        id: String,
        secret: String,
        /// The file that keeps the token, or the reason why there can be none.
        cache: Result<PathBuf, String>,
    },
}

pub(crate) struct ResolvedSettings {
    pub(crate) login: Login,
    base_url: String,
}

/// The part of a cache file that a command without credentials needs.
#[derive(Deserialize)]
struct CacheEntry {
    base_url: String,
    client_id: Option<String>,
    access_token: String,
}

impl ResolvedSettings {
    pub(crate) fn resolve(options: &Common) -> Result<Self, Failure> {
        let sources = [
            Source::of_options(options)?,
            Source::of_environment()?,
            Source::of_file(options)?,
        ];
        let cache = sources.iter().find_map(|source| source.token_cache.clone());
        let base_url = sources.iter().find_map(|source| source.base_url.clone());
        for source in sources {
            let login = match (source.access_token, source.client_id, source.client_secret) {
                (Some(token), ..) => Login::Token {
                    token,
                    client_id: None,
                },
                (_, Some(id), Some(secret)) => {
                    let mut cache = cache.map_or_else(default_cache, Ok);
                    if let Ok(path) = &cache {
                        check_owner_only("token cache", path)?;
                        if let Some(Err(error)) = path.parent().map(fs::create_dir_all) {
                            cache = Err(format!("the folder of {}: {error}", path.display()));
                        }
                    }
                    Login::Credentials { id, secret, cache }
                }
                (_, Some(_), None) => {
                    return Err(usage(
                        "there is a client id, but no client secret beside it",
                    ));
                }
                (_, None, Some(_)) => {
                    return Err(usage(
                        "there is a client secret, but no client id beside it",
                    ));
                }
                (None, None, None) => continue,
            };
            let base_url = base_url.unwrap_or(DEFAULT_BASE_URL.to_owned());
            return Ok(Self { login, base_url });
        }
        Self::of_cache(cache, base_url)
    }

    /// Takes the token that `pan123-offline login` has kept, and the service that it is for.
    fn of_cache(cache: Option<PathBuf>, base_url: Option<String>) -> Result<Self, Failure> {
        let path = cache.or_else(|| default_cache().ok());
        let Some(path) = path.filter(|path| path.exists()) else {
            return Err(usage(
                "there is no access token: set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET and run \
                 `pan123-offline login`, or set PAN123_ACCESS_TOKEN, or give --token-file; the \
                 open platform of 123pan issues client id and secret",
            ));
        };
        let text = read("token cache", &path)?;
        let shown = path.display();
        let entry: CacheEntry = serde_json::from_slice(&text).map_err(|_| {
            let text = format!("the token cache {shown} holds no token");
            usage(text + ": run `pan123-offline login`")
        })?;
        if let Some(other) = base_url.filter(|url| url.trim_end_matches('/') != entry.base_url) {
            let (own, other) = (entry.base_url.escape_debug(), other.escape_debug());
            let text = format!("the token cache {shown} is for {own}, not for {other}");
            return Err(usage(text + ": run `pan123-offline login`"));
        }
        Ok(Self {
            login: Login::Token {
                token: entry.access_token,
                client_id: entry.client_id,
            },
            base_url: entry.base_url,
        })
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = match &self.login {
            Login::Token { token, .. } => Client::builder().access_token(token.as_str()),
            Login::Credentials { id, secret, cache } => {
                let credentials = Credentials::new(id, secret);
                Client::builder().credentials(match cache {
                    Ok(path) => credentials.cache_file(path),
                    Err(_) => credentials,
                })
            }
        };
        builder.base_url(&self.base_url)
    }

    /// Returns the address of the service.
    pub(crate) fn service(&self) -> String {
        self.base_url.trim_end_matches('/').to_owned()
    }

    /// Returns the client id, where it is known.
    pub(crate) fn client_id(&self) -> Option<&str> {
        match &self.login {
            Login::Token { client_id, .. } => client_id.as_deref(),
            Login::Credentials { id, .. } => Some(id),
        }
    }
}

impl Source {
    fn of_options(options: &Common) -> Result<Self, Failure> {
        let mut source = Self {
            token_cache: options.token_cache.clone(),
            base_url: options.base_url.clone(),
            ..Self::default()
        };
        if let Some(path) = &options.token_file {
            let text = String::from_utf8(read("token file", path)?)
                .map_err(|_| usage(format!("the token file {} is not UTF-8", path.display())))?;
            // An editor ends the line.
            source.access_token = Some(text.trim().to_owned());
        }
        Ok(source)
    }

    fn of_environment() -> Result<Self, Failure> {
        Ok(Self {
            access_token: variable("PAN123_ACCESS_TOKEN")?,
            client_id: variable("PAN123_CLIENT_ID")?,
            client_secret: variable("PAN123_CLIENT_SECRET")?,
            token_cache: variable("PAN123_TOKEN_CACHE")?.map(PathBuf::from),
            base_url: variable("PAN123_BASE_URL")?,
        })
    }

    /// Reads the file that was named, or the default one, which may be absent.
    fn of_file(options: &Common) -> Result<Self, Failure> {
        let named = match &options.config {
            Some(path) => Some(path.clone()),
            None => variable("PAN123_CONFIG")?.map(PathBuf::from),
        };
        let default = || {
            let folder = choose_native_strategy().ok()?.config_dir().join(FOLDER);
            Some(folder.join("config.json")).filter(|path| path.exists())
        };
        let Some(path) = named.or_else(default) else {
            return Ok(Self::default());
        };
        serde_json::from_slice(&read("configuration file", &path)?).map_err(|error| {
            // The text may be a token: it is not quoted.
            let what = match error.is_data() {
                true => {
                    "not an object of strings with the fields access_token, client_id, \
                     client_secret, token_cache, base_url"
                }
                false => "not JSON",
            };
            let (line, column) = (error.line(), error.column());
            usage(format!(
                "the configuration file {}, line {line}, column {column}: {what}",
                path.display()
            ))
        })
    }
}

fn default_cache() -> Result<PathBuf, String> {
    let folders = choose_native_strategy();
    let folders = folders.map_err(|_| "this user has no cache folder (see --token-cache)")?;
    Ok(folders.cache_dir().join(FOLDER).join("token"))
}

/// Returns a variable's value. An empty variable counts as unset.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(usage(format!("{name} is not UTF-8"))),
    }
}

/// Reads a file that may hold a token.
fn read(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| usage(format!("the {what} {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    check_owner_only(what, path)?;
    let mut bytes = Vec::new();
    let mut start = file.take(MAX_FILE_LEN + 1);
    start.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_LEN {
        let path = path.display();
        return Err(usage(format!("the {what} {path} is longer than 64 KiB")));
    }
    Ok(bytes)
}

/// Refuses a file to which group or others have any access. A pipe or a device is accepted.
fn check_owner_only(what: &str, path: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::mode;
    // Files have the permissions of their folder there.
    #[cfg(not(unix))]
    let mode = |_: &fs::Permissions| 0;
    let path_text = path.display();
    match fs::metadata(path) {
        Ok(file) if file.is_file() && mode(&file.permissions()) & 0o077 != 0 => {
            Err(usage(format!(
                "others have access to the {what} {path_text}, and a token may be in it: \
                 chmod 600 {path_text}"
            )))
        }
        _ => Ok(()),
    }
}
