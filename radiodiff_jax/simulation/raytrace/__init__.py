"""Radio maps of real cities by ray tracing (extra `raytrace`: sionna-rt), a second physics beside the dominant path model.

    folder.py      write_ray_traced_folder does all of it; which windows of a city become maps
    library.py     is the ray tracer there, and does it run
    tracing.py     what is asked of it: heights, and path gains on the cells of a window
    cells.py       power of the cells from that of the walls between them

Nothing imports the ray tracer before `library.load_ray_tracer` has found it to work.
"""
