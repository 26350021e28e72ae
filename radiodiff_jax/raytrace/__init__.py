"""Radio maps of real cities by ray tracing (extra `raytrace`: sionna-rt), a second physics beside the simulation's.

`folder.write_ray_traced_folder` does all of it. Nothing imports the ray tracer before `library.load_ray_tracer` has found
it to work.
"""
