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
const DEFAULT_BASE_URL: &str = "https://open-api.123pan.com";
/// The maximum size of a token file and a configuration file, in bytes.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// The fields of the configuration file.
const FIELDS: &str = "access_token, client_id, client_secret, token_cache, base_url";

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
    /// A token from a setting.
    Token(String),
    /// A token from the cache, which `pan123-offline login` has filled.
    CachedToken {
        token: String,
        client_id: Option<String>,
    },
    Credentials {
        id: String,
        secret: String,
        cache: TokenCache,
    },
}

/// The file that keeps the token, or the reason why there can be none.
pub(crate) type TokenCache = Result<PathBuf, String>;

pub(crate) struct ResolvedSettings {
    pub(crate) login: Login,
    base_url: Option<String>,
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
            Settings::from_options(options)?,
            Settings::from_environment()?,
            Settings::from_file(options)?,
        ];
        let cache = sources.iter().find_map(|source| source.token_cache.clone());
        let base_url = sources.iter().find_map(|source| source.base_url.clone());
        for source in sources {
            if let Some(login) = source.login(cache.as_deref())? {
                return Ok(Self { login, base_url });
            }
        }
        Self::from_cache(cache, base_url)
    }

    /// Takes the token that `pan123-offline login` has kept, and the service that it is for.
    fn from_cache(cache: Option<PathBuf>, base_url: Option<String>) -> Result<Self, Failure> {
        let path = cache.or_else(|| default_cache_path().ok());
        let file = path.as_deref().and_then(|path| File::open(path).ok());
        let (Some(path), Some(file)) = (path, file) else {
            return Err(usage(
                "there is no access token: set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET and run \
                 `pan123-offline login`, or set PAN123_ACCESS_TOKEN, or give --token-file; the \
                 open platform of 123pan issues client id and secret",
            ));
        };
        check_owner_only("token cache", &path, &file)?;
        let entry: CacheEntry = serde_json::from_slice(&read(&path, file)?).map_err(|_| {
            usage(format!(
                "the token cache {} holds no token: run `pan123-offline login`",
                path.display()
            ))
        })?;
        let other = base_url.filter(|url| url.trim_end_matches('/') != entry.base_url);
        if let Some(other) = other {
            return Err(usage(format!(
                "the token cache {} is for {}, not for {}: run `pan123-offline login`",
                path.display(),
                entry.base_url.escape_debug(),
                other.escape_debug()
            )));
        }
        Ok(Self {
            login: Login::CachedToken {
                token: entry.access_token,
                client_id: entry.client_id,
            },
            base_url: Some(entry.base_url),
        })
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = match &self.login {
            Login::Token(token) | Login::CachedToken { token, .. } => {
                Client::builder().access_token(token.as_str())
            }
            Login::Credentials { id, secret, cache } => {
                let credentials = Credentials::new(id, secret);
                Client::builder().credentials(match cache {
                    Ok(path) => credentials.cache_file(path),
                    Err(_) => credentials,
                })
            }
        };
        match &self.base_url {
            Some(url) => builder.base_url(url),
            None => builder,
        }
    }

    /// Returns the address of the service.
    pub(crate) fn service(&self) -> String {
        let url = self.base_url.as_deref().unwrap_or(DEFAULT_BASE_URL);
        url.trim_end_matches('/').to_owned()
    }

    /// Returns the client id, where it is known.
    pub(crate) fn client_id(&self) -> Option<&str> {
        match &self.login {
            Login::Token(_) => None,
            Login::CachedToken { client_id, .. } => client_id.as_deref(),
            Login::Credentials { id, .. } => Some(id),
        }
    }

    /// Returns the reason why a new token will not be kept.
    pub(crate) fn warning(&self) -> Option<String> {
        match &self.login {
            Login::Credentials {
                cache: Err(reason), ..
            } => Some(cache_warning(reason)),
            _ => None,
        }
    }
}

/// Returns the warning for a token that is not kept.
pub(crate) fn cache_warning(reason: &str) -> String {
    format!(
        "the token cannot be kept: {reason}; each run requests a new one, and the service keeps \
         three"
    )
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
            Err(error) if !must_exist && is_absent(error.kind()) => return Ok(Self::default()),
            Err(error) => {
                return Err(usage(format!(
                    "the configuration file {}: {error}",
                    path.display()
                )));
            }
        };
        check_owner_only("configuration file", &path, &file)?;
        let text = read(&path, file)?;
        serde_json::from_slice(&text).map_err(|error| {
            let what = describe(&error);
            usage(format!("the configuration file {}, {what}", path.display()))
        })
    }

    fn login(self, cache: Option<&Path>) -> Result<Option<Login>, Failure> {
        match (self.access_token, self.client_id, self.client_secret) {
            (Some(token), _, _) => Ok(Some(Login::Token(token))),
            (None, Some(id), Some(secret)) => {
                let cache = match cache {
                    Some(path) => Ok(path.to_owned()),
                    None => default_cache(),
                };
                if let Ok(path) = &cache
                    && let Ok(file) = File::open(path)
                {
                    check_owner_only("token cache", path, &file)?;
                }
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

/// Reports whether a file is absent, also because its folder is none, as with `HOME=/dev/null`.
fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Describes an error of the configuration file by its place, because the text may be a token.
fn describe(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.is_data() {
        true => format!("{place}: not an object of strings with the fields {FIELDS}"),
        false => format!("{place}: not JSON"),
    }
}

/// The user's own folders, as the system has them.
fn folders() -> Option<impl BaseStrategy> {
    choose_native_strategy().ok()
}

/// Returns the default cache file, whose folder is created.
fn default_cache() -> TokenCache {
    let path = default_cache_path()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .map_err(|error| format!("the folder {}: {error}", folder.display()))?;
    Ok(path)
}

fn default_cache_path() -> TokenCache {
    let folders = folders().ok_or("this user has no cache folder (see --token-cache)")?;
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

fn read_token(path: &Path) -> Result<String, Failure> {
    let file = File::open(path)
        .map_err(|error| usage(format!("the token file {}: {error}", path.display())))?;
    check_owner_only("token file", path, &file)?;
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

/// Refuses a file to which group or others have any access. A pipe or a device is accepted.
#[cfg(unix)]
fn check_owner_only(what: &str, path: &Path, file: &File) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;

    let others_have_access = file
        .metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o077 != 0);
    if others_have_access {
        let path = path.display();
        return Err(usage(format!(
            "others have access to the {what} {path}, and a token may be in it: chmod 600 {path}"
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner_only(_: &str, _: &Path, _: &File) -> Result<(), Failure> {
    Ok(())
}
