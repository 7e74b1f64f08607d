/*
 * void fiber_switch(void **ret_sp, void *sp): leaves the running context at
 * *ret_sp and continues the one that lies at sp. Only what the ABI lets a
 * callee keep is saved; the rest is the caller's own affair already.
 */
	.text
	.globl fiber_switch
	.type fiber_switch, @function
	.balign 16
fiber_switch:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.size fiber_switch, . - fiber_switch

	.section .note.GNU-stack, "", @progbits
