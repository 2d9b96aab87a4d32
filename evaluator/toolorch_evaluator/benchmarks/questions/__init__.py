"""HLE and FRAMES in the manner of ToolOrchestra: a question, and rounds of three tools until one of them answers it.

Source: ToolOrchestra's eval_hle and eval_frames scripts, by their behaviour; all texts here are this project's own.
"""
