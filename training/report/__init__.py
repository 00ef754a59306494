"""The report of a training run, for people: a page without script or anything to fetch, and PNGs.

```
subject.py    what it is of: a model and its pictures
findings.py   what is found on a bounded sample: map, silhouettes, who is typical, borderline, outlying
maps.py curves.py spread.py   charts, by chart.py: as SVG in the page's colours, and as PNG; palette.py
pictures.py   pictures and reconstructions; every file names the pictures it shows, for erasure
facts.py cards.py page.py page.html   the page
report.py     make_report: all of it
```
"""
