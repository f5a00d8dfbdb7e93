"""What visitors read while no serving process answers: as nginx keeps it, in memory and in its own words."""

import base64
import hashlib

_STYLE = (
    ":root{color-scheme:light dark}body{max-width:36rem;margin:18vh auto 0;padding:0 1.5rem;"
    "font:1.125rem/1.6 Charter,Georgia,Cambria,serif;color:#24272b;background:#f8f7f3}"
    "h1{font-size:2.25rem;font-weight:500;line-height:1.12}.small{font:.9375rem/1.6 system-ui,sans-serif;color:#60656c}"
    "@media(prefers-color-scheme:dark){body{color:#e4e3de;background:#16181a}.small{color:#9da1a5}}"
)

# Both stand in single quotes; nginx fills in the number of the request, which it has made itself.
PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
    f"<title>Not ready yet</title><style>{_STYLE}</style></head><body><main><h1>Not ready yet</h1>"
    "<p>The site cannot answer at this moment. Please try again in a few seconds.</p>"
    '<p class="small">If you report this, give its number: <code>$request_id</code></p></main></body></html>'
)
PROBLEM = (
    '{"type": "about:blank", "title": "Service Unavailable", "status": 503, '
    '"detail": "The site cannot answer at this moment.", "request_id": "$request_id"}'
)
POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
RETRY_AFTER = 5
