//! The parts of help and manual that are no options: examples, variables, files, exit codes.

pub(crate) const GENERAL: &str = "\
Examples:
  # show the whole way, without an account
  pan123-offline demo
  # request and keep a token
  pan123-offline login
  # make a list of the images in a folder of posts
  pan123-offline extract posts/ > urls.txt
  # migrate them, through interruptions
  pan123-offline migrate urls.txt
  # find their new links
  pan123-offline links urls.txt
  # replace the old links in the posts
  pan123-offline rewrite urls.txt posts/

Environment (options come first, then variables, then the configuration file):
  PAN123_ACCESS_TOKEN    access token, used as it is
  PAN123_CLIENT_ID       client id, for which tokens are requested
  PAN123_CLIENT_SECRET   client secret
  PAN123_TOKEN_CACHE     as --token-cache
  PAN123_BASE_URL        as --base-url
  PAN123_CONFIG          as --config
  HTTPS_PROXY, ALL_PROXY proxy for requests
  NO_PROXY               hosts that are reached without the proxy

Files:
  LIST.db
      state of a migration: a SQLite database, readable by its owner only
  ~/.config/pan123-offline/config.json
      configuration file: a JSON object with any of access_token, client_id, client_secret,
      token_cache and base_url; readable by its owner only
  ~/.cache/pan123-offline/token
      token cache: the token that `pan123-offline login` has requested

Exit codes:
  0    all succeeded
  1    some task failed, or it is unknown whether it exists; or a link is missing
  2    usage error, or a setting or a line of a list that cannot work
  3    not authorised, or banned
  4    timed out (--timeout); the tasks go on
  5    a request failed or was refused, or the output cannot be written
  130  interrupted by Ctrl-C (SIGINT)
  143  ended by SIGTERM (129: by SIGHUP)
  141  output closed (broken pipe)
  If more than one applies, the first of 3, 2, 5, 4, 1 is used.";

pub(crate) const MIGRATE: &str = "\
Examples:
  # migrate a list of images; the same command goes on after an interruption
  pan123-offline migrate urls.txt
  # print what would be done, and how long it takes at least
  pan123-offline migrate --dry-run urls.txt
  # create failed images again, and stop after 20 failures
  pan123-offline migrate --retry-failed --max-failures 20 urls.txt
  # read the list from standard input
  pan123-offline migrate --state images.db - < urls.txt";

pub(crate) const REPORT: &str = "\
Examples:
  # print what failed, and why
  pan123-offline report urls.txt --failed --refused
  # write the URLs that failed into a list
  pan123-offline report urls.txt --failed --urls > failed.txt
  # follow the open tasks
  pan123-offline report urls.txt --open --json | pan123-offline wait -";

pub(crate) const REWRITE: &str = "\
Examples:
  # show the lines that would change
  pan123-offline rewrite --dry-run urls.txt posts/
  # replace the old links; FILE.bak keeps each original
  pan123-offline rewrite urls.txt posts/
  # bring the originals back
  pan123-offline rewrite --undo urls.txt posts/";
