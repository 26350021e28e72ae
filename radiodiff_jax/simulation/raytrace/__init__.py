"""Radio maps by ray tracing (extra `raytrace`: sionna-rt), a second physics beside the dominant path model.

    folder.py      write_ray_traced_folder: windows of real cities, and which of them become maps
    layouts.py     write_ray_traced_layouts and write_ray_traced_scenes: made-up cities, and those of a folder
    library.py     is the ray tracer there, and does it run
    prisms.py      layouts as scenes of the ray tracer
    tracing.py     what is asked of it: heights, and path gains on the cells of a window
    cells.py       power of the cells from that of the walls between them
    noise.py       how much of a map is chance

Nothing imports the ray tracer before `library.load_ray_tracer` has found it to work.
"""
