"""What people are shown: a topology as text and as a drawing, tables, how far a run is.

Rule: nothing here builds, loads or measures, so it is not of the code that makes results stale (`analysis.code`). What
it says may stand in a manifest as words, and decide nothing.

    text, layout, drawing, labels    a topology
    console, calibration             tables; that of a calibration
    progress                         how far a run is
"""
