//! `links`: the new link of each image that has arrived.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufWriter, Write};
use std::path::Path;

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

/// Why an image has no link, by its row in the state.
type Reasons = HashMap<i64, String>;

/// Looks for the links that are not known, and prints all that are.
pub(super) fn links(common: &Common, args: &Links) -> Result<ExitStatus, Failure> {
    let path = state_path(&args.state.list, args.state.state.as_deref());
    let mut store = Store::open(&path)?;
    let mut folders: BTreeMap<_, Vec<Image>> = BTreeMap::new();
    let (mut owned, mut reasons) = (HashSet::new(), Reasons::new());
    store.for_each(&[State::Succeeded], |image| {
        if image.link.is_some() && !args.refresh {
            owned.extend(image.file_id);
        } else if image.file_name.is_none() {
            let reason =
                "it was sent without a name, since its URL does not tell the kind of image";
            reasons.insert(
                image.id,
                format!("{reason}, so its file cannot be told from others"),
            );
        } else {
            let folder = image.directory.clone();
            folders.entry(folder).or_default().push(image);
        }
        Ok::<_, StoreError>(())
    })?;
    let mut status = ExitStatus::Succeeded;
    if !folders.is_empty() {
        let client = client_of(common, &store, &path)?;
        for (folder, images) in &folders {
            let folder = folder.as_deref();
            match look_up(
                &client,
                &mut store,
                folder,
                images,
                &mut owned,
                &mut reasons,
            ) {
                Ok(()) => {}
                Err(Failure::Service(error)) => {
                    let name = printable(folder.unwrap_or(DEFAULT_FOLDER));
                    eprint_line(&format!("the folder {name}: {}", explain(&error)));
                    status = status.max(ExitStatus::of(&error));
                    if !concerns_folder(&error) {
                        break;
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        warn_of_cache(&client);
    }
    Ok(status.max(print(common, &store, &reasons)?))
}

/// Creates a client for the account to which the state belongs.
fn client_of(common: &Common, store: &Store, path: &Path) -> Result<Client, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    claim(store, &settings, path)?;
    let (client, _) = client(common, &settings, MAX_RETRIES)?;
    Ok(client)
}

/// Reports whether other folders may be found although this one was not.
fn concerns_folder(error: &Error) -> bool {
    let code = error.code();
    matches!(code, Some(ErrorCode::INTERNAL | ErrorCode::FILE_NOT_FOUND))
}

/// Lists a folder, and enters the files of these images into the state. `owned` has the files of others, too.
fn look_up(
    client: &Client,
    store: &mut Store,
    folder: Option<&str>,
    images: &[Image],
    owned: &mut HashSet<String>,
    reasons: &mut Reasons,
) -> Result<(), Failure> {
    let id = match folder {
        Some(id) => Some(id.to_owned()),
        None => default_folder(client)?,
    };
    let keys = images.iter().map(|image| (&*image.key, sent_name(image)));
    let mut matches = Matches::new(keys, owned);
    if let Some(id) = &id {
        list(client, store, id, images, &mut matches, reasons)?;
    }
    let folder = printable(folder.unwrap_or(DEFAULT_FOLDER));
    let mut gone = Vec::new();
    let missing = |(place, _): &(usize, &Image)| !matches.has_file(*place);
    for (_, image) in images.iter().enumerate().filter(missing) {
        let reason = match &id {
            Some(_) => format!(
                "no file {} is in the folder {folder}: an image with the same bytes may have taken \
                 its place, or it was renamed, moved or deleted",
                printable(sent_name(image))
            ),
            None => format!("there is no folder {folder}"),
        };
        reasons.insert(image.id, reason);
        if image.file_id.is_some() {
            gone.push(Image {
                file_id: None,
                link: None,
                size: None,
                moderation: None,
                ..image.clone()
            });
        }
    }
    Ok(store.set_files(&gone)?)
}

fn sent_name(image: &Image) -> &str {
    image.file_name.as_deref().unwrap_or_default()
}

/// Enters the files of a folder that are these images, page by page.
fn list(
    client: &Client,
    store: &mut Store,
    folder: &str,
    images: &[Image],
    matches: &mut Matches<'_>,
    reasons: &mut Reasons,
) -> Result<(), Failure> {
    let mut files = client.images(folder).peekable();
    while files.peek().is_some() {
        let mut found = Vec::new();
        for file in files.by_ref().take(PAGE_LEN) {
            let file = file?;
            let time = file.created_at.as_str().max(&file.updated_at);
            if file.is_directory {
                continue;
            }
            let Some(place) = matches.take(&file.file_id, &file.name, time) else {
                continue;
            };
            let image = &images[place];
            let link = match (file.is_rejected(), safe_link(file.link())) {
                (true, _) => Err("the service's moderation has rejected it"),
                (_, link) => link.ok_or("its link is no http or https URL without a password"),
            };
            reasons.remove(&image.id);
            reasons.extend(
                link.as_ref()
                    .err()
                    .map(|reason| (image.id, (*reason).to_owned())),
            );
            found.push(Image {
                link: link.ok(),
                size: i64::try_from(file.size).ok(),
                moderation: Some(file.status),
                file_id: Some(file.file_id),
                ..image.clone()
            });
        }
        store.set_files(&found)?;
    }
    Ok(())
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
fn print(common: &Common, store: &Store, reasons: &Reasons) -> Result<ExitStatus, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut known, mut missing) = (0, 0);
    store.for_each(&[State::Succeeded], |image| {
        let Some(link) = &image.link else {
            missing += 1;
            if let Some(reason) = reasons.get(&image.id) {
                eprint_line(&format!("{}: {reason}", printable(&image.given)));
            }
            return Ok(());
        };
        known += 1;
        let line = match common.json {
            true => records::link_json(&image),
            false => format!("{}\t{link}\n", printable(&image.given)),
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
