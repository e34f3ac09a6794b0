//! `links`: the new link of each image that has arrived.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufWriter, Write};

use pan123_offline::{Client, Error, ErrorCode};

use super::migrate::claim;
use super::{client, counted, warn_of_cache};
use crate::args::{Common, Links};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, explain};
use crate::image::{Image, State};
use crate::links::{Matches, safe_link};
use crate::list::printable;
use crate::records;
use crate::settings::ResolvedSettings;
use crate::store::{Store, StoreError, state_path};

/// The folder of tasks that name none. The service makes it.
const DEFAULT_FOLDER: &str = "来自:离线下载";
/// The images of a page, which are written in one transaction.
const PAGE_LEN: usize = 100;
/// Maximum number of retries of a request.
const MAX_RETRIES: u32 = 5;

const NO_NAME: &str = "it was sent without a name, since its URL does not tell the kind of image, \
    so its file cannot be told from others";

/// The folders that were listed, and whether each exists. `None` is that of tasks that name none.
type Listed = HashMap<Option<String>, bool>;

/// Looks for the links that are not known, and prints all that are.
pub(super) fn links(common: &Common, args: &Links) -> Result<ExitStatus, Failure> {
    let path = state_path(&args.state.list, args.state.state.as_deref());
    let mut store = Store::open(&path)?;
    let mut folders: BTreeMap<Option<String>, Vec<Image>> = BTreeMap::new();
    // Ids of the files that serve an image.
    let mut owned = HashSet::new();
    store.for_each(&[State::Succeeded], |image| {
        if image.link.is_some() && !args.refresh {
            owned.extend(image.file_id);
        } else if image.file_name.is_some() {
            let folder = image.directory.clone();
            folders.entry(folder).or_default().push(image);
        }
        Ok::<_, StoreError>(())
    })?;
    let (mut status, mut listed) = (ExitStatus::Succeeded, Listed::new());
    if !folders.is_empty() {
        let settings = ResolvedSettings::resolve(common)?;
        claim(&store, &settings, &path)?;
        let (client, _) = client(common, &settings, MAX_RETRIES)?;
        for (folder, images) in folders {
            match look_up(&client, &mut store, folder.as_deref(), &images, &mut owned) {
                Ok(exists) => _ = listed.insert(folder, exists),
                Err(Failure::Service(error)) => {
                    let name = printable(folder.as_deref().unwrap_or(DEFAULT_FOLDER));
                    eprint_line(&format!("the folder {name}: {}", explain(&error)));
                    status = status.max(ExitStatus::of(&error));
                    // After another error no folder would be found.
                    let folder_errors = [ErrorCode::INTERNAL, ErrorCode::FILE_NOT_FOUND];
                    if !error
                        .code()
                        .is_some_and(|code| folder_errors.contains(&code))
                    {
                        break;
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        warn_of_cache(&client);
    }
    Ok(status.max(print(common, &store, &listed)?))
}

/// Lists a folder, and enters the files of these images into the state, page by page. Returns whether the folder exists.
fn look_up(
    client: &Client,
    store: &mut Store,
    folder: Option<&str>,
    images: &[Image],
    owned: &mut HashSet<String>,
) -> Result<bool, Failure> {
    let id = match folder {
        Some(id) => Some(id.to_owned()),
        None => default_folder(client)?,
    };
    let names = images.iter();
    let names = names.filter_map(|image| Some((&*image.key, image.file_name.as_deref()?)));
    let mut matches = Matches::new(names, owned);
    let mut files = id.as_deref().map(|id| client.images(id).peekable());
    while files.as_mut().is_some_and(|files| files.peek().is_some()) {
        let mut found = Vec::new();
        for file in files.iter_mut().flatten().take(PAGE_LEN) {
            let file = file?;
            let time = file.created_at.as_str().max(&file.updated_at);
            if file.is_directory {
                continue;
            }
            if let Some(place) = matches.take(&file.file_id, &file.name, time) {
                found.push(Image {
                    link: safe_link(file.link()).filter(|_| !file.is_rejected()),
                    size: i64::try_from(file.size).ok(),
                    moderation: Some(file.status),
                    file_id: Some(file.file_id),
                    ..images[place].clone()
                });
            }
        }
        store.set_files(&found)?;
    }
    let gone = images.iter().enumerate();
    let gone =
        gone.filter(|(place, image)| image.file_id.is_some() && !matches.times.contains_key(place));
    let gone = gone.map(|(_, image)| Image {
        file_id: None,
        link: None,
        size: None,
        moderation: None,
        ..image.clone()
    });
    store.set_files(&gone.collect::<Vec<_>>())?;
    Ok(id.is_some())
}

/// Returns the id of the service's folder for offline downloads, if that exists.
fn default_folder(client: &Client) -> Result<Option<String>, Error> {
    for file in client.images("") {
        let file = file?;
        if file.is_directory && file.name == DEFAULT_FOLDER {
            return Ok(Some(file.file_id));
        }
    }
    Ok(None)
}

/// Prints the known links in the order of the list, and why others are missing.
fn print(common: &Common, store: &Store, listed: &Listed) -> Result<ExitStatus, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut known, mut missing) = (0, 0);
    store.for_each(&[State::Succeeded], |image| {
        let url = printable(&image.given);
        let Some(link) = &image.link else {
            missing += 1;
            if let Some(reason) = reason(&image, listed) {
                eprint_line(&format!("{url}: {reason}"));
            }
            return Ok(());
        };
        known += 1;
        let line = match common.json {
            true => records::link_json(&image),
            false => format!("{url}\t{link}\n"),
        };
        out.write_all(line.as_bytes()).map_err(Failure::from)
    })?;
    out.flush()?;
    if !common.quiet {
        let mut counts = store.counts();
        counts.succeeded = 0;
        let mut summary = counted(known, "link");
        if missing > 0 {
            summary += &format!("; {} without one", counted(missing, "image"));
        }
        if counts.total() > 0 {
            summary += &format!("; not arrived: {}", counts.text());
        }
        eprint_line(&summary);
    }
    Ok(match missing {
        0 => ExitStatus::Succeeded,
        _ => ExitStatus::TaskFailed,
    })
}

/// Returns why an image has no link. The error of a folder was told.
fn reason(image: &Image, listed: &Listed) -> Option<String> {
    let folder = printable(image.directory.as_deref().unwrap_or(DEFAULT_FOLDER));
    let Some(name) = &image.file_name else {
        return Some(NO_NAME.to_owned());
    };
    Some(match listed.get(&image.directory)? {
        _ if image.is_rejected() => "the service's moderation has rejected it".to_owned(),
        _ if image.file_id.is_some() => {
            "its link is no http or https URL without a password".to_owned()
        }
        true => format!(
            "no file {} is in the folder {folder}: an image with the same bytes may have taken \
             its place, or it was renamed, moved or deleted",
            printable(name)
        ),
        false => format!("there is no folder {folder}"),
    })
}
