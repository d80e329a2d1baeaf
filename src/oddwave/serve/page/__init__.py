"""The page, and what it asks the service for: its visitors' files, results and own detectors, kept on disk.

static.py: the page itself     visits.py: who asks, and what room there is     files.py, results.py, detectors.py: what
is kept     kept.py: a result on disk     view.py: what a chart shows of it     routes.py: all routes of the page
"""
