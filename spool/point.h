/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Points: named places, one at each step that changes state, at which the tests of tests/crash kill
 * the process as kill -9 would.
 *
 * Programs have nothing of this, unless they are built with the CMake option SPOOL_POINTS, which is
 * for the tests alone. Then the environment says what happens:
 *
 *   SPOOL_KILL_AT=NAME:N  the process dies when it reaches the point of that name the N-th time
 *   SPOOL_HITS_TO=FILE    each point that is reached adds its name as a line to FILE
 *
 * tests/check holds that each name stands at one place, and that a test reaches it.
 */
#ifndef SPOOL_POINT_H
#define SPOOL_POINT_H

#ifdef SPOOL_POINTS
#define SPOOL_POINT(name) point_hit(name)
#else
#define SPOOL_POINT(name) ((void)0)
#endif

/* Reached a point. Safe from any thread. */
void point_hit(const char *name);

/* Dies at "NAME:N" in place of what the environment said; NULL: nowhere. Forgets the hits so far.
 * For a process that was forked off, while it has one thread. */
void point_arm(const char *text);

#endif
