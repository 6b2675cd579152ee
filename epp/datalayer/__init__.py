"""What the picker knows of its endpoints: who they are, whether they can be reached, what their load is.

A source (`static`, or a discovery plugin such as `file_discovery`) says who is in the pool; `datastore` keeps them;
`scraper` asks for each endpoint's metrics page about once a second. Two plugins do the work: `metrics_source` fetches a
page, `core_metrics` reads it, with `exposition` to find the few numbers that matter and `engines` for the names under
which engines export them. `load_book` corrects what the last page said by what the picker itself has sent since,
`typical` stands in where no page comes, and `ejection` avoids endpoints whose answers fail.
"""

from epp.datalayer.datastore import Datastore
from epp.datalayer.scraper import Scraper

__all__ = ["Datastore", "Scraper"]
