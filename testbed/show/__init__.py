"""What people are shown: a topology as text and as a drawing, tables, how far a run is. Nothing here measures."""
